"""Where stages are measured: private servers, started when first asked for, and programs of ours as processes."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aio_pika
import httpx
from spacehub import topology
from spacehub_dev.provisioning import apt
from spacehub_dev.provisioning.finding import Postgres, Rabbit, find_postgres, find_rabbitmq
from spacehub_dev.provisioning.fresh import FreshDatabases, Migrate, Vhost, drop_vhost, make_vhost
from spacehub_dev.provisioning.ports import release_port, reserve_port
from spacehub_dev.provisioning.program import Program
from spacehub_dev.provisioning.servers import Report

from bench.measuring import Unavailable

BIN = Path(sys.executable).parent
KEYS = {"PHONE_KEY": "a key for measuring only", "SEAL_KEY": "a seal for measuring only"}
NO_BROKER = "amqp://nobody:nothing@127.0.0.1:1/"
"""For processes that must be told of a broker and never speak to it."""
PROGRAMS = Path(__file__).parent / "programs"


@dataclass
class Ground:
    """Servers that write to disk as in production (`fsync` on); everything is gone when the run ends."""

    directory: Path
    report: Report
    _stack: AsyncExitStack
    _postgres: Postgres | None = None
    _rabbitmq: Rabbit | None = None

    async def postgres(self) -> Postgres:
        """The run's PostgreSQL."""
        if self._postgres is None:
            self._postgres = await asyncio.to_thread(find_postgres, self.directory, report=self.report)
            self._stack.callback(self._postgres.discard)
            await asyncio.to_thread(self._postgres.start)
        return self._postgres

    async def rabbitmq(self) -> Rabbit:
        """The run's RabbitMQ."""
        if self._rabbitmq is None:
            self._rabbitmq = await asyncio.to_thread(find_rabbitmq, self.directory, report=self.report)
            self._stack.callback(self._rabbitmq.discard)
            await asyncio.to_thread(self._rabbitmq.start)
        return self._rabbitmq

    @asynccontextmanager
    async def database(self, migrate: Migrate) -> AsyncIterator[str]:
        """The URL of a fresh database brought up to date by `migrate`."""
        databases = FreshDatabases((await self.postgres()).url)
        url = await databases.make(migrate)
        try:
            yield url
        finally:
            await databases.drop(url)
            await databases.drop_templates()

    @asynccontextmanager
    async def vhost(self) -> AsyncIterator[Vhost]:
        """A virtual host with every exchange and queue of ours."""
        vhost = await make_vhost(await self.rabbitmq())
        connection = await aio_pika.connect(vhost.amqp_url)
        await topology.declare(connection)
        await connection.close()
        try:
            yield vhost
        finally:
            await drop_vhost(vhost)

    @asynccontextmanager
    async def program(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        ready: str | None = None,
        cwd: Path = Path("/"),
    ) -> AsyncIterator[int]:
        """A process, by its pid, from when the page `ready` answers well."""
        log = self.directory / "logs" / f"{name.replace(' ', '-')}.log"
        program = Program(name, command, self.directory, log, {"PATH": os.environ["PATH"], **environment}, cwd=cwd)
        program.start()
        try:
            if ready is not None:
                await self._answers(program, ready)
            assert program.pid is not None, program.last_lines()
            yield program.pid
        finally:
            await asyncio.to_thread(program.stop, patience=10)

    @asynccontextmanager
    async def ours(self, verb: str, told: Mapping[str, str]) -> AsyncIterator[int]:
        """A process of a service, such as `sms-sender consume standard`, by its pid, from when it is ready."""
        service, *words = verb.split()
        prefix = f"{service.replace('-', '_').upper()}_"
        async with port() as health:
            environment = {**KEYS, "QUIET_HOURS": "off", "HEALTH_PORT": str(health), **told}
            prefixed = {f"{prefix}{name}": value for name, value in environment.items()}
            ready = f"http://127.0.0.1:{health}/readyz"
            async with self.program(verb, [str(BIN / service), *words], prefixed, ready=ready) as pid:
                yield pid

    @asynccontextmanager
    async def sink(self, *, delay_ms: int) -> AsyncIterator["Sink"]:
        """A carrier, or FCM, that answers everything after so long."""
        program = await self.compiled("sink")
        async with port() as number:
            url = f"http://127.0.0.1:{number}"
            command = [str(program), str(number), str(delay_ms)]
            async with (
                self.program(f"sink {delay_ms}", command, {}, ready=f"{url}/count"),
                httpx.AsyncClient(trust_env=False, timeout=10) as client,
            ):
                yield Sink(url, client)

    async def _answers(self, program: Program, url: str) -> None:
        async with httpx.AsyncClient(trust_env=False, timeout=5) as client, asyncio.timeout(60):
            while True:
                try:
                    if (await client.get(url)).status_code == 200:
                        return
                except httpx.TransportError:
                    pass
                if not program.alive():
                    raise RuntimeError(f"{program.name} ended:\n{program.last_lines()}")
                await asyncio.sleep(0.1)

    async def compiled(self, name: str, *, packages: Sequence[str] = (), libraries: Sequence[str] = ()) -> Path:
        """One of the small C programs. Raises Unavailable."""
        program = self.directory / name
        command = ["cc", "-O2", "-o", str(program), str(PROGRAMS / f"{name}.c"), *(f"-l{one}" for one in libraries)]
        if not await _succeeds(command):
            try:
                await asyncio.to_thread(apt.install, "gcc", "libc6-dev", *packages, report=self.report)
            except apt.AptUnavailable as reason:
                raise Unavailable(f"{name}.c cannot be compiled: {reason}") from None
            if not await _succeeds(command):
                raise Unavailable(f"{name}.c cannot be compiled: {' '.join(command)} fails")
        return program


@dataclass(frozen=True, slots=True)
class Sink:
    """The running carrier."""

    url: str
    client: httpx.AsyncClient

    async def taken(self) -> int:
        """How many requests there were so far."""
        return int((await self.client.get(f"{self.url}/count")).text)


@asynccontextmanager
async def opened(directory: Path, *, report: Report) -> AsyncIterator[Ground]:
    """The ground of one run."""
    async with AsyncExitStack() as stack:
        yield Ground(directory, report, stack)


@asynccontextmanager
async def port() -> AsyncIterator[int]:
    """A port of 127.0.0.1 that nobody else has."""
    number = reserve_port()
    try:
        yield number
    finally:
        release_port(number)


async def output(command: Sequence[str]) -> str:
    """What a command prints; it must succeed."""
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        out, err = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    if process.returncode != 0:
        raise RuntimeError(f"{command[0]} failed: {err.decode()[-500:]}")
    return out.decode()


async def _succeeds(command: Sequence[str]) -> bool:
    try:
        await output(command)
    except (OSError, RuntimeError):
        return False
    return True
