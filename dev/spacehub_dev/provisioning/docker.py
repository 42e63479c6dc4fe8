"""PostgreSQL and RabbitMQ in containers of our own, when their programs are not on the machine but Docker runs."""

import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from spacehub_dev.provisioning.kept import kept_secret
from spacehub_dev.provisioning.ports import listening, release_port, reserve_port
from spacehub_dev.provisioning.rabbitmq import TOLD, management_answers
from spacehub_dev.provisioning.servers import Report, ServerUnavailable

POSTGRES_IMAGE = "postgres:16"
RABBITMQ_IMAGE = "rabbitmq:3.13-management"
USER = "spacehub"


class DockerUnavailable(Exception):
    """No engine answers, or it cannot get the image. The text says which."""


def require_engine() -> None:
    """Raises DockerUnavailable unless a Docker engine answers."""
    if shutil.which("docker") is None:
        raise DockerUnavailable("there is no docker command")
    try:
        _docker("version", "--format", "{{.Server.Version}}")
    except ServerUnavailable as error:
        raise DockerUnavailable(f"no engine answers ({error})") from None


class Container:
    """A container that keeps its ports and its volume over kill and start; one left by an earlier run is replaced."""

    def __init__(
        self,
        directory: Path,
        role: str,
        *,
        image: str,
        ports: Mapping[int, int],
        environment: Mapping[str, str],
        volume: str,
        report: Report,
        mounts: Mapping[Path, str] | None = None,
        arguments: Sequence[str] = (),
    ) -> None:
        self.name = f"spacehub-{hashlib.sha256(str(directory).encode()).hexdigest()[:12]}-{role}"
        self._ports = ports
        self._environment = environment
        published = [word for inside, port in ports.items() for word in ("-p", f"127.0.0.1:{port}:{inside}")]
        variables = [word for name in environment for word in ("-e", name)]  # values stay out of the process list
        places = [f"{self.name}:{volume}", *(f"{file}:{inside}:ro" for file, inside in (mounts or {}).items())]
        volumes = [word for place in places for word in ("-v", place)]
        settings = ["--name", self.name, "--hostname", self.name, *volumes, *published, *variables]
        self._create = ["create", *settings, image, *arguments]
        _docker("rm", "--force", self.name, tolerant=True)
        if _docker("image", "inspect", image, tolerant=True) != 0:
            report(f"Docker: pulling {image}")
            if subprocess.run(["docker", "pull", image]).returncode != 0:
                raise DockerUnavailable(f"the image {image} cannot be pulled")

    @property
    def pid(self) -> int | None:
        """The main process as this machine sees it."""
        done = subprocess.run(
            ["docker", "inspect", "--format", "{{.State.Pid}}", self.name], capture_output=True, text=True
        )
        return int(done.stdout.strip() or 0) or None if done.returncode == 0 else None

    def start(self) -> None:
        """Start it (again); it is made first when it is not there."""
        if _docker("container", "inspect", self.name, tolerant=True) != 0:
            _docker(*self._create, environment=self._environment)
        _docker("start", self.name)

    def stop(self) -> None:
        """Stop it cleanly and remove it; its volume stays for the next run."""
        _docker("stop", "--time", "20", self.name, tolerant=True)
        _docker("rm", "--force", self.name, tolerant=True)

    def kill(self) -> None:
        """SIGKILL for all of it."""
        _docker("kill", self.name, tolerant=True)

    def suspend(self) -> None:
        """Freeze it."""
        _docker("pause", self.name)

    def resume(self) -> None:
        """Let it go on."""
        _docker("unpause", self.name)

    def alive(self) -> bool:
        """Whether its main process runs."""
        return self.pid is not None

    def discard(self) -> None:
        """Remove it with its data and give its ports back."""
        _docker("rm", "--force", "--volumes", self.name, tolerant=True)
        _docker("volume", "rm", "--force", self.name, tolerant=True)
        for port in self._ports.values():
            release_port(port)

    def run(self, *command: str) -> bool:
        """Run `command` inside; whether it succeeded."""
        return _docker("exec", self.name, *command, tolerant=True) == 0

    def last_lines(self) -> str:
        """The end of its log."""
        done = subprocess.run(["docker", "logs", "--tail", "15", self.name], capture_output=True, text=True)
        return done.stdout + done.stderr


class DockerPostgres(Container):
    """PostgreSQL in a container. Its password is the same in every run, because its volume keeps it."""

    def __init__(self, directory: Path, *, report: Report) -> None:
        self._port = reserve_port()
        self._password = kept_secret(directory, "docker")
        super().__init__(
            directory,
            "postgres",
            image=os.environ.get("POSTGRES_IMAGE", POSTGRES_IMAGE),
            ports={5432: self._port},
            environment={"POSTGRES_USER": USER, "POSTGRES_PASSWORD": self._password, "POSTGRES_DB": "postgres"},
            volume="/var/lib/postgresql/data",
            arguments=["-c", "max_connections=200"],
            report=report,
        )

    @property
    def url(self) -> str:
        return f"postgresql://{USER}:{self._password}@127.0.0.1:{self._port}/postgres"

    def start(self) -> None:
        """Start it and wait: over TCP, since the image's first boot serves its own set-up on the socket only."""
        super().start()
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline and self.alive():
            if self.run("pg_isready", "-h", "127.0.0.1", "-U", USER):
                return
            time.sleep(0.2)
        raise ServerUnavailable(f"PostgreSQL did not start in Docker:\n{self.last_lines()}")


class DockerRabbit(Container):
    """RabbitMQ in a container, management plugin included."""

    def __init__(self, directory: Path, *, config: Sequence[str] = (), report: Report) -> None:
        self._amqp, self._management = reserve_port(), reserve_port()
        self._password = kept_secret(directory, "docker")
        further = directory / "rabbitmq-further.conf"
        further.write_text("\n".join([TOLD.read_text(), *config]) + "\n")
        super().__init__(
            directory,
            "rabbitmq",
            image=os.environ.get("RABBITMQ_IMAGE", RABBITMQ_IMAGE),
            ports={5672: self._amqp, 15672: self._management},
            environment={"RABBITMQ_DEFAULT_USER": USER, "RABBITMQ_DEFAULT_PASS": self._password},
            volume="/var/lib/rabbitmq",
            mounts={further: "/etc/rabbitmq/conf.d/90-spacehub.conf"},
            report=report,
        )

    @property
    def url(self) -> str:
        return f"amqp://{USER}:{self._password}@127.0.0.1:{self._amqp}/"

    @property
    def management_url(self) -> str:
        """The HTTP API, user and password included."""
        return f"http://{USER}:{self._password}@127.0.0.1:{self._management}"

    def start(self) -> None:
        """Start it and wait until AMQP and the management API answer (a ping is healthy before AMQP listens)."""
        super().start()
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and self.alive():
            ready = self.run("rabbitmq-diagnostics", "-q", "check_port_connectivity")
            if ready and listening(self._amqp) and management_answers(self.management_url):
                return
            time.sleep(0.5)
        raise ServerUnavailable(f"RabbitMQ did not start in Docker:\n{self.last_lines()}")


def _docker(*arguments: str, tolerant: bool = False, environment: Mapping[str, str] | None = None) -> int:
    """Run the docker command; a failure raises ServerUnavailable unless it is `tolerant`."""
    try:
        done = subprocess.run(
            ["docker", *arguments], capture_output=True, text=True, env=os.environ | (environment or {}), timeout=60
        )
    except subprocess.TimeoutExpired:
        raise ServerUnavailable(f"docker {arguments[0]} does not answer") from None
    if done.returncode != 0 and not tolerant:
        raise ServerUnavailable(done.stderr.strip() or f"docker {arguments[0]} failed")
    return done.returncode
