"""A private RabbitMQ: its own ports, node name, cookie, epmd, user and data, on 127.0.0.1 only."""

import json
import os
import secrets
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from spacehub_dev.provisioning.ports import listening, release_port, reserve_port
from spacehub_dev.provisioning.program import Program
from spacehub_dev.provisioning.servers import ServerUnavailable

USER = "spacehub"
PORTS = ("amqp", "management", "epmd", "dist")
BOOT_SECONDS = 120
TOLD = Path(__file__).resolve().parents[3] / "deploy" / "rabbitmq" / "spacehub.conf"
"""What every broker of ours is told, in development as in production."""


def installed_binaries() -> Path | None:
    """The directory with RabbitMQ's own scripts: Debian's wrapper in sbin switches the user and is passed over."""
    places = [Path("/usr/lib/rabbitmq/bin"), *(Path(entry) for entry in os.environ.get("PATH", "").split(":"))]
    return next((place for place in places if _is_complete(place)), None)


def binaries_in(place: Path) -> Path:
    """The same of a directory that was named. Raises ServerUnavailable when RabbitMQ's scripts are not in it."""
    if not _is_complete(place):
        raise ServerUnavailable(f"RABBITMQ_BINARIES names {place}, and there is no rabbitmq-server with rabbitmq-env")
    return place


def _is_complete(place: Path) -> bool:
    return (place / "rabbitmq-server").exists() and (place / "rabbitmq-env").exists()


class PrivateRabbit:
    """RabbitMQ from programs on this machine. Messages under `directory` are kept from one run to the next.

    `config` holds further lines for rabbitmq.conf, such as `consumer_timeout = 60000`; they are read at each start,
    after those that every broker of ours is told.
    `beside` is another one with which it shares epmd, cookie and login, so that the two can form a cluster.
    """

    def __init__(
        self,
        binaries: Path,
        directory: Path,
        *,
        config: Sequence[str] = (),
        name: str = "rabbitmq",
        beside: "PrivateRabbit | None" = None,
    ) -> None:
        self._home = directory / name
        self._home.mkdir(parents=True, exist_ok=True)
        known = self._read_state()
        self._password: str = beside._password if beside else known.get("password") or secrets.token_hex(16)
        self.node = known.get("node") or f"spacehub-{secrets.token_hex(4)}@localhost"
        """Its name among Erlang nodes."""
        kept = {port: int(known[port]) for port in PORTS if port in known}
        shared = {"epmd": beside.ports["epmd"]} if beside else {}
        self.ports: dict[str, int] = {port: shared.get(port) or reserve_port(kept.get(port)) for port in PORTS}
        self._cookie = self._home / ".erlang.cookie"
        if not self._cookie.exists():
            _write_privately(self._cookie, beside._cookie.read_text() if beside else secrets.token_hex(20), mode=0o400)
        self._config = config
        environment = self._environment()
        logs = directory / "logs"
        epmd = [_epmd(), "-port", str(self.ports["epmd"]), "-address", "127.0.0.1"]
        self._epmd: Program = (
            beside._epmd if beside else Program(f"{name} epmd", epmd, directory, logs / f"{name}-epmd.log", environment)
        )
        self._control = str(binaries / "rabbitmqctl")
        server = [str(binaries / "rabbitmq-server")]
        self._server = Program(name, server, directory, logs / f"{name}.log", environment)

    @property
    def url(self) -> str:
        return f"amqp://{USER}:{self._password}@127.0.0.1:{self.ports['amqp']}/"

    @property
    def management_url(self) -> str:
        return f"http://{USER}:{self._password}@127.0.0.1:{self.ports['management']}"

    @property
    def pid(self) -> int | None:
        return self._server.pid

    def start(self) -> None:
        self._write_files()
        self.start_epmd()
        if not self._server.alive():
            self._server.start()
        deadline = time.monotonic() + BOOT_SECONDS
        while time.monotonic() < deadline and self._server.alive():
            if listening(self.ports["amqp"]) and management_answers(self.management_url):
                return
            time.sleep(0.1)
        self._server.kill()
        raise ServerUnavailable(f"RabbitMQ did not start:\n{self._server.last_lines()}")

    def start_epmd(self) -> None:
        """Start what tells Erlang nodes each other's ports."""
        if not self._epmd.alive():
            self._epmd.start()

    def stop(self) -> None:
        self._server.stop(patience=30)
        self._epmd.stop()

    def kill(self) -> None:
        self._server.kill()

    def suspend(self) -> None:
        self._server.suspend()

    def resume(self) -> None:
        self._server.resume()

    def alive(self) -> bool:
        return self._server.alive() and self._epmd.alive()

    def control(self, *arguments: str) -> str:
        """What `rabbitmqctl` says to `arguments`. Raises CalledProcessError when it refuses."""
        command = [self._control, "--node", self.node, "--timeout", "30", *arguments]
        environment = self._environment()
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, cwd=self._home)
        return done.stdout

    def discard(self) -> None:
        """Kill it and its epmd, delete its data and give its ports back."""
        self._server.kill()
        self._epmd.kill()
        shutil.rmtree(self._home, ignore_errors=True)
        for port in self.ports.values():
            release_port(port)

    def _write_files(self) -> None:
        lines = [
            f"listeners.tcp.1 = 127.0.0.1:{self.ports['amqp']}",
            "management.tcp.ip = 127.0.0.1",
            f"management.tcp.port = {self.ports['management']}",
            f"default_user = {USER}",
            f"default_pass = {self._password}",
            f"loopback_users.{USER} = true",
            TOLD.read_text(),
            *self._config,
        ]
        state = {"password": self._password, "node": self.node}
        state |= {name: str(port) for name, port in self.ports.items()}
        _write_privately(self._home / "state.json", json.dumps(state))
        _write_privately(self._home / "rabbitmq.conf", "\n".join(lines) + "\n")
        _write_privately(self._home / "enabled_plugins", "[rabbitmq_management].\n")
        _write_privately(self._home / "rabbitmq-env.conf", "")

    def _environment(self) -> dict[str, str]:
        """Everything that would otherwise be shared with another RabbitMQ on this machine."""
        home = self._home
        return {
            "PATH": os.environ.get("PATH", os.defpath) + ":/usr/sbin:/usr/bin",
            "LC_ALL": "C.UTF-8",
            "HOME": str(home),
            "ERL_EPMD_PORT": str(self.ports["epmd"]),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": self.node,
            "RABBITMQ_DIST_PORT": str(self.ports["dist"]),
            "RABBITMQ_MNESIA_BASE": str(home / "mnesia"),
            "RABBITMQ_LOG_BASE": str(home / "log"),
            "RABBITMQ_SCHEMA_DIR": str(home / "schema"),
            "RABBITMQ_GENERATED_CONFIG_DIR": str(home / "generated"),
            "RABBITMQ_CONFIG_FILE": str(home / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(home / "advanced.config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "enabled_plugins"),
            "RABBITMQ_CONF_ENV_FILE": str(home / "rabbitmq-env.conf"),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_ALLOW_INPUT": "1",  # the script then becomes the broker: one pid, signals arrive
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                "-noinput -kernel inet_dist_use_interface {127,0,0,1} +sbwt none +sbwtdcpu none +sbwtdio none"
            ),
        }

    def _read_state(self) -> dict[str, str]:
        try:
            state: dict[str, str] = json.loads((self._home / "state.json").read_text())
        except (OSError, ValueError):
            return {}
        return state


def management_answers(management_url: str) -> bool:
    """Whether the management API takes the user and password in its URL."""
    return _asked(management_url, "overview") is not None


def administrates(management_url: str) -> bool:
    """Whether the user in the management API's URL may make users."""
    answer = _asked(management_url, "whoami")
    return answer is not None and "administrator" in str(answer.get("tags"))


def _asked(management_url: str, path: str) -> dict[str, Any] | None:
    parts = urlsplit(management_url)
    credentials = b64encode(f"{unquote(parts.username or '')}:{unquote(parts.password or '')}".encode()).decode()
    request = urllib.request.Request(f"{parts.scheme}://{parts.hostname}:{parts.port}/api/{path}")
    request.add_header("Authorization", f"Basic {credentials}")
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return dict(json.load(answer)) if answer.status == 200 else None
    except (urllib.error.URLError, OSError, ValueError):
        return None


def _epmd() -> str:
    """Erlang's port mapper; some packages keep it beside the runtime only."""
    if found := shutil.which("epmd", path=os.environ.get("PATH", "") + ":/usr/bin:/usr/local/bin"):
        return found
    beside = sorted(Path("/").glob("usr/l*/**/erts-*/bin/epmd"))
    if beside:
        return str(beside[-1])
    raise ServerUnavailable("RabbitMQ is here, but Erlang's epmd is not")


def _write_privately(path: Path, text: str, *, mode: int = 0o600) -> None:
    path.touch(mode=0o600)
    path.write_text(text)
    path.chmod(mode)
