"""The parts of the whole system: for each service its processes and what they are told."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from spacehub import permissions
from spacehub.cli.passwords import variable
from spacehub.events.publishers import DOMAINS

from spacehub_dev.keys import AUDIENCE, FCM_PROJECT, ISSUER, development_keys, service_account
from spacehub_dev.launcher.processes import BIN, Plan, ProcessSpec, Surroundings
from spacehub_dev.provisioning.haproxy import GatewaySettings, GatewayTokens, find_gateway

SMS_NUMBER = "131344"


@dataclass(frozen=True)
class Part:
    """One service or simulator: what prepares it, what runs, and the URLs others are told."""

    processes: tuple[ProcessSpec, ...]
    migrations: tuple[ProcessSpec, ...] = ()
    urls: Mapping[str, str] = field(default_factory=dict)


def whole_system(around: Surroundings) -> Plan:
    """Everything that `make run` and `make demo` start."""
    parts = [
        _topology(around),
        _inbox_api(around),
        _sms_sender(around),
        _push_sender(around),
        _devices_api(around),
        _scheduler(around),
        _gateway(around),
    ]
    return Plan(
        migrations=[spec for part in parts for spec in part.migrations],
        topology=[*_users(around), _topology_verb("apply", around)],
        processes=[spec for part in parts for spec in part.processes],
        urls={name: url for part in parts for name, url in part.urls.items()},
        publishers={name: around.broker(name) for name in DOMAINS},
    )


def _topology(around: Surroundings) -> Part:
    return Part((_topology_verb("keep", around, port=around.port("topology keep")),))


def _topology_verb(verb: str, around: Surroundings, *, port: int | None = None) -> ProcessSpec:
    told = {
        "SPACEHUB_AMQP_URL": around.broker(permissions.TOPOLOGY),
        "SPACEHUB_MANAGEMENT_URL": around.management(permissions.TOPOLOGY),
    }
    if port is not None:
        told["SPACEHUB_HEALTH_PORT"] = str(port)
    return ProcessSpec(f"topology {verb}", [str(BIN / "spacehub"), "topology", verb], told, port)


def _users(around: Surroundings) -> list[ProcessSpec]:
    """The broker's users are made by its administrator, where that is us."""
    if around.user_prefix is None:
        return []
    told = {"SPACEHUB_AMQP_URL": around.amqp_url, "SPACEHUB_MANAGEMENT_URL": around.management_url}
    told |= {variable(user): around.password(user) for user in permissions.names()}
    told |= {"SPACEHUB_USER_PREFIX": around.user_prefix} if around.user_prefix else {}
    return [ProcessSpec("topology users", [str(BIN / "spacehub"), "topology", "users"], told)]


def _inbox_api(around: Surroundings) -> Part:
    told = _service("INBOX_API_", around, database="inbox") | {
        "INBOX_API_PHONE_KEY": around.secret("phone-key"),
        "INBOX_API_SEAL_KEY": around.secret("seal-key"),
    }
    api = told | _tokens("INBOX_API_", around) | {"INBOX_API_HTTP_PORT": str(around.port("inbox-api http"))}
    return Part(
        processes=(
            # Codes have a process of their own: rendering a thousand bills takes the interpreter for a while.
            _giving_way(_verb("inbox-api consume", told, around, "standard", "outcomes")),
            _verb("inbox-api consume critical", told, around),
            _verb("inbox-api forward", told, around),
            _verb("inbox-api serve", api, around),
        ),
        migrations=(_verb("inbox-api migrate", told, around),),
    )


def _sms_sender(around: Surroundings) -> Part:
    told = _service("SMS_SENDER_", around, database="sms") | {"SMS_SENDER_PHONE_KEY": around.secret("phone-key")}
    processes: list[ProcessSpec] = []
    urls = {}
    if not around.environment.get("SMS_SENDER_GATEWAY_URL"):
        login = {"USERNAME": "spacehub", "PASSWORD": around.secret("sms-gateway-password")}
        simulator = _simulator("sms", around, {f"SIMULATOR_{name}": value for name, value in login.items()})
        processes.append(simulator)
        urls["sms_simulator_url"] = f"http://127.0.0.1:{simulator.port}"
        told |= {"SMS_SENDER_GATEWAY_URL": f"{urls['sms_simulator_url']}/sms", "SMS_SENDER_GATEWAY_FROM": SMS_NUMBER}
        told |= {f"SMS_SENDER_GATEWAY_{name}": value for name, value in login.items()}
    # Codes have a process of their own here too: a thousand bills a second leave an interpreter little time.
    processes.append(_giving_way(_verb("sms-sender consume", told, around, "standard", "facts")))
    processes += [_verb(f"sms-sender {verb}", told, around) for verb in ("consume critical", "forward")]
    return Part(tuple(processes), migrations=(_verb("sms-sender migrate", told, around),), urls=urls)


def _push_sender(around: Surroundings) -> Part:
    told = _service("PUSH_SENDER_", around) | {
        "PUSH_SENDER_DEVICES_URL": f"http://127.0.0.1:{around.port('devices-api internal')}",
        "PUSH_SENDER_DEVICES_SECRET": around.secret("devices-secret"),
    }
    processes: list[ProcessSpec] = []
    urls = {}
    if not around.environment.get("PUSH_SENDER_FCM_CREDENTIALS_FILE"):
        simulator = _simulator("fcm", around, {})
        processes.append(simulator)
        urls["fcm_simulator_url"] = f"http://127.0.0.1:{simulator.port}"
        told |= {
            "PUSH_SENDER_FCM_PROJECT": FCM_PROJECT,
            "PUSH_SENDER_FCM_BASE_URL": urls["fcm_simulator_url"],
            "PUSH_SENDER_FCM_CREDENTIALS_FILE": str(
                service_account(around.directory, token_uri=f"{urls['fcm_simulator_url']}/token")
            ),
        }
    processes.append(_verb("push-sender consume", told, around))
    return Part(tuple(processes), urls=urls)


def _devices_api(around: Surroundings) -> Part:
    told = _service("DEVICES_API_", around, database="devices") | _tokens("DEVICES_API_", around)
    told |= {
        "DEVICES_API_HTTP_PORT": str(around.port("devices-api http")),
        "DEVICES_API_INTERNAL_PORT": str(around.port("devices-api internal")),
        "DEVICES_API_INTERNAL_SECRET": around.secret("devices-secret"),
    }
    return Part(
        processes=tuple(_verb(f"devices-api {verb}", told, around) for verb in ("serve", "consume")),
        migrations=(_verb("devices-api migrate", told, around),),
    )


def _scheduler(around: Surroundings) -> Part:
    told = _service("SCHEDULER_", around, database="scheduler")
    return Part(
        processes=(
            _giving_way(_verb("scheduler consume", told, around)),
            *(_verb(f"scheduler {verb}", told, around) for verb in ("fire", "forward")),
        ),
        migrations=(_verb("scheduler migrate", told, around),),
    )


def _gateway(around: Surroundings) -> Part:
    port, health, keys_health = (around.port(name) for name in ("gateway", "gateway health", "keys keep"))
    keys = around.directory / "keys" / "gateway"
    kept = {
        "SPACEHUB_KEYS": str(keys),
        "SPACEHUB_JWKS_FILE": str(development_keys(around.directory).jwks),
        "SPACEHUB_HEALTH_PORT": str(keys_health),
    }
    settings = GatewaySettings(
        port=port,
        health_port=health,
        devices_api_port=around.port("devices-api http"),
        inbox_api_port=around.port("inbox-api http"),
        rate_limit=around.environment.get("RATE_LIMIT") or "off",
        tokens=GatewayTokens(ISSUER, AUDIENCE, keys),
    )
    command = find_gateway(around.directory, report=around.report)
    return Part(
        (
            ProcessSpec("keys keep", [str(BIN / "spacehub"), "keys", "keep"], kept, keys_health),
            ProcessSpec("gateway", command, settings.environment, health),
        ),
        urls={"api_url": f"http://127.0.0.1:{port}"},
    )


def _service(prefix: str, around: Surroundings, *, database: str | None = None) -> dict[str, str]:
    """What every process of one service is told."""
    told = {
        f"{prefix}AMQP_URL": around.broker(prefix.removesuffix("_").lower().replace("_", "-")),
        f"{prefix}QUIET_HOURS": around.quiet_hours,
        f"{prefix}HEALTH_HOST": "127.0.0.1",
    }
    if database is not None:
        told[f"{prefix}DATABASE_URL"] = around.databases[database]
    return told


def _tokens(prefix: str, around: Surroundings) -> dict[str, str]:
    """How an API verifies the development issuer's tokens."""
    keys = development_keys(around.directory)
    return {
        f"{prefix}JWT_ISSUER": ISSUER,
        f"{prefix}JWT_AUDIENCE": AUDIENCE,
        f"{prefix}JWT_JWKS_FILE": str(keys.jwks),
    }


def _verb(name: str, told: Mapping[str, str], around: Surroundings, *arguments: str) -> ProcessSpec:
    """The process `sms-sender consume`: the service's command with a verb, and a port for its pages."""
    service, *words = name.split()
    prefix = f"{service.replace('-', '_').upper()}_"
    port = around.port(name)
    command = [str(BIN / service), *words, *arguments]
    return ProcessSpec(name, command, {**told, f"{prefix}HEALTH_PORT": str(port)}, port)


def _giving_way(spec: ProcessSpec) -> ProcessSpec:
    """`spec` as one whose work can wait for a core: a bulk run takes all there are, and codes come meanwhile."""
    return replace(spec, gives_way=True)


def _simulator(kind: str, around: Surroundings, login: Mapping[str, str]) -> ProcessSpec:
    name = f"{kind} simulator"
    port = around.port(name)
    command = [str(BIN / "spacehub-dev"), "simulate", kind, "--port", str(port)]
    return ProcessSpec(name, command, login, port, ready_path="/control/messages")
