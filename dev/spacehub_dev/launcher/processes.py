"""Which processes make up the development system, and what each is told; data, read by the launcher."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

BIN = Path(sys.executable).parent
SIMULATOR_LOGIN = {"USERNAME": "simulator", "PASSWORD": "simulator"}
SMS_NUMBER = "131344"


@dataclass(frozen=True)
class Surroundings:
    """What the processes find around them. `ports` gives each process that listens a port of its own, by name."""

    amqp_url: str
    management_url: str
    databases: Mapping[str, str]
    port: Callable[[str], int]
    secret: Callable[[str], str]
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)

    @property
    def quiet_hours(self) -> str:
        """`HH:MM-HH:MM` or `off`, as the user said; off in development."""
        return self.environment.get("QUIET_HOURS") or "off"


@dataclass(frozen=True)
class ProcessSpec:
    """One process: its name in endpoints.json, its command, its environment on top of the user's, and how to see
    that it is ready: a page on `port` that answers 200 (without a port: that it runs)."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    port: int | None = None
    ready_path: str = "/readyz"

    @property
    def ready_url(self) -> str | None:
        """The page that answers 200 when the process is ready."""
        return None if self.port is None else f"http://127.0.0.1:{self.port}{self.ready_path}"


@dataclass(frozen=True)
class Plan:
    """All of a system: what must have run before it starts, its processes, and the URLs others are told."""

    migrations: Sequence[ProcessSpec]
    topology: Sequence[ProcessSpec]
    processes: Sequence[ProcessSpec]
    urls: Mapping[str, str]


def whole_system(around: Surroundings) -> Plan:
    """Everything that `make run` and `make demo` start."""
    broker = {"SPACEHUB_AMQP_URL": around.amqp_url, "SPACEHUB_MANAGEMENT_URL": around.management_url}
    inbox = _service("INBOX_API_", "inbox", around) | {"INBOX_API_PHONE_KEY": around.secret("phone-key")}
    sms = _service("SMS_SENDER_", "sms", around) | {"SMS_SENDER_PHONE_KEY": around.secret("phone-key")}
    scheduler = _service("SCHEDULER_", "scheduler", around)
    simulators = []
    urls = {}
    if not around.environment.get("SMS_SENDER_GATEWAY_URL"):
        port = around.port("sms simulator")
        urls["sms_simulator_url"] = f"http://127.0.0.1:{port}"
        simulators.append(_simulator("sms", port))
        sms |= {
            "SMS_SENDER_GATEWAY_URL": f"{urls['sms_simulator_url']}/sms",
            "SMS_SENDER_GATEWAY_USERNAME": SIMULATOR_LOGIN["USERNAME"],
            "SMS_SENDER_GATEWAY_PASSWORD": SIMULATOR_LOGIN["PASSWORD"],
            "SMS_SENDER_GATEWAY_FROM": SMS_NUMBER,
        }
    return Plan(
        migrations=[
            _verb("inbox-api migrate", "INBOX_API_", inbox, around),
            _verb("sms-sender migrate", "SMS_SENDER_", sms, around),
            _verb("scheduler migrate", "SCHEDULER_", scheduler, around),
        ],
        topology=[ProcessSpec("topology apply", [str(BIN / "spacehub"), "topology", "apply"], broker)],
        processes=[
            *simulators,
            ProcessSpec("topology keep", [str(BIN / "spacehub"), "topology", "keep"], broker),
            _verb("inbox-api consume", "INBOX_API_", inbox, around),
            _verb("inbox-api forward", "INBOX_API_", inbox, around),
            _verb("sms-sender consume", "SMS_SENDER_", sms, around),
            _verb("sms-sender forward", "SMS_SENDER_", sms, around),
            _verb("scheduler consume", "SCHEDULER_", scheduler, around),
            _verb("scheduler fire", "SCHEDULER_", scheduler, around),
            _verb("scheduler forward", "SCHEDULER_", scheduler, around),
        ],
        urls=urls,
    )


def _service(prefix: str, database: str, around: Surroundings) -> dict[str, str]:
    """What every process of one service is told."""
    return {
        f"{prefix}DATABASE_URL": around.databases[database],
        f"{prefix}AMQP_URL": around.amqp_url,
        f"{prefix}QUIET_HOURS": around.quiet_hours,
        f"{prefix}HEALTH_HOST": "127.0.0.1",
    }


def _verb(name: str, prefix: str, environment: Mapping[str, str], around: Surroundings) -> ProcessSpec:
    """The process `sms-sender consume`: the service's command with one verb, and a port for its pages."""
    service, verb = name.split()
    port = around.port(name)
    return ProcessSpec(name, [str(BIN / service), verb], {**environment, f"{prefix}HEALTH_PORT": str(port)}, port)


def _simulator(kind: str, port: int) -> ProcessSpec:
    login = {f"SIMULATOR_{name}": value for name, value in SIMULATOR_LOGIN.items()}
    command = [str(BIN / "spacehub-dev"), "simulate", kind, "--port", str(port)]
    return ProcessSpec(f"{kind} simulator", command, login, port, ready_path="/control/messages")
