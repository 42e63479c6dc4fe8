"""Development's own keys, made on this machine, never committed: the issuer's, and an account for the FCM simulator."""

import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

ISSUER = "https://auth.spacehub.mn/development"
AUDIENCE = "spacehub-notify"
FCM_PROJECT = "spacehub-development"


@dataclass(frozen=True)
class DevelopmentKeys:
    """Where they lie: `signer` for whoever makes tokens (`spacehub token`), `jwks` for whoever verifies them."""

    signer: Path
    jwks: Path


def development_keys(directory: Path) -> DevelopmentKeys:
    """The keys in `directory`/keys, made when missing; those that are there stay as they are."""
    keys = DevelopmentKeys(directory / "keys" / "signer.json", directory / "keys" / "jwks.json")
    if not keys.signer.exists():
        keys.signer.parent.mkdir(parents=True, exist_ok=True)
        content = {"issuer": ISSUER, "audience": AUDIENCE, "key": _new_key()}
        _write_privately(keys.signer, json.dumps(content))
    private = json.loads(keys.signer.read_text())["key"]
    public = {name: private[name] for name in ("kty", "kid", "alg", "use", "n", "e")}
    _write_privately(keys.jwks, json.dumps({"keys": [public]}))
    return keys


def service_account(directory: Path, *, token_uri: str) -> Path:
    """A new key file as the Firebase console hands it out, for an account that only the simulator knows."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    content = {
        "type": "service_account",
        "project_id": FCM_PROJECT,
        "private_key_id": "development",
        "private_key": key.decode(),
        "client_email": f"push@{FCM_PROJECT}.iam.gserviceaccount.com",
        "token_uri": token_uri,
    }
    path = directory / "keys" / "fcm-service-account.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    _write_privately(path, json.dumps(content))
    return path


def _new_key() -> dict[str, str]:
    """A private JWK. RS256, because HAProxy verifies it too."""
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    fields: dict[str, str] = RSAAlgorithm.to_jwk(private, as_dict=True)
    wanted = ("kty", "n", "e", "d", "p", "q", "dp", "dq", "qi")
    names = {"kid": f"development-{secrets.token_hex(4)}", "alg": "RS256", "use": "sig"}
    return {name: fields[name] for name in wanted} | names


def _write_privately(path: Path, text: str) -> None:
    """Replace the file as a whole, readable by its owner only."""
    draft = path.with_name(path.name + ".new")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    draft.replace(path)
