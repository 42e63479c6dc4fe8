"""Every Secret that the manifests name, made up for a development cluster: `spacehub-dev cluster-secrets`.

In production the same names come from wherever the company keeps its secrets; docs/operations.md lists them.
"""

import base64
import json
import secrets
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spacehub import permissions
from spacehub.cli.passwords import variable

from spacehub_dev.keys import development_keys, service_account

NAMESPACE = "spacehub-notify-development"
DATABASES = {"inbox-api": "inbox", "sms-sender": "sms", "devices-api": "devices", "scheduler": "scheduler"}
"""Which database each service owns; its role has the same name."""

TOKEN_URI = "http://fcm-simulator:8080/token"


def made_up() -> Mapping[str, Mapping[str, str]]:
    """Every Secret by name, with its keys; each call gives others."""
    broker = {user: _random() for user in permissions.names()}
    roles = {role: _random() for role in DATABASES.values()}
    shared = {"phone_key": _random(), "devices": _random()}
    services: dict[str, dict[str, str]] = {
        "inbox-api": {"phone_key": shared["phone_key"], "seal_key": _random()},
        "sms-sender": {
            "phone_key": shared["phone_key"],
            "gateway_username": "spacehub",
            "gateway_password": _random(),
        },
        "push-sender": {"devices_secret": shared["devices"]},
        "devices-api": {"internal_secret": shared["devices"]},
        "scheduler": {},
    }
    for service, told in services.items():
        told["amqp_url"] = f"amqp://{service}:{broker[service]}@rabbitmq:5672/"
        if role := DATABASES.get(service):
            told["database_url"] = f"postgresql://{role}:{roles[role]}@postgres-rw:5432/{role}"
    found = {service: _prefixed(service, told) for service, told in services.items()}
    with tempfile.TemporaryDirectory() as directory:
        keys = development_keys(Path(directory))
        found["inbox-api"]["jwks.json"] = found["devices-api"]["jwks.json"] = keys.jwks.read_text()
        found["gateway-keys"] = {"jwks.json": keys.jwks.read_text()}
        found["push-sender"]["fcm-service-account.json"] = service_account(
            Path(directory), token_uri=TOKEN_URI
        ).read_text()
        found["token-signer"] = {"signer.json": keys.signer.read_text()}
    found["topology"] = {
        "spacehub_amqp_url": f"amqp://topology:{broker['topology']}@rabbitmq:5672/",
        "spacehub_management_url": f"http://topology:{broker['topology']}@rabbitmq:15672",
    }
    found["broker-users"] = {variable(user).lower(): password for user, password in broker.items()}
    # KEDA runs elsewhere: the whole name, and with it the virtual host.
    found["queue-lengths"] = {"host": f"http://watcher:{broker['watcher']}@rabbitmq.{NAMESPACE}.svc:15672/"}
    return found | {f"postgres-{role}": {"username": role, "password": password} for role, password in roles.items()}


def manifest() -> str:
    """All of them, as `kubectl apply -f -` takes them."""
    items = [_secret(name, content) for name, content in made_up().items()]
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": items}, indent=1)


def _secret(name: str, content: Mapping[str, str]) -> Mapping[str, Any]:
    role = "kubernetes.io/basic-auth" if name.startswith("postgres-") else "Opaque"
    data = {key: base64.b64encode(value.encode()).decode() for key, value in content.items()}
    metadata: dict[str, Any] = {"name": name, "namespace": NAMESPACE}
    if name.startswith("postgres-"):
        metadata["labels"] = {"cnpg.io/reload": "true"}  # the operator sets a changed password at once
    return {"apiVersion": "v1", "kind": "Secret", "type": role, "metadata": metadata, "data": data}


def _prefixed(service: str, told: Mapping[str, str]) -> dict[str, str]:
    return {f"{service.replace('-', '_')}_{name}": value for name, value in told.items()}


def _random() -> str:
    return secrets.token_hex(24)
