"""`make run` from outside, with private servers: strangers, kill -9, crashes of the servers, SIGTERM."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import aio_pika
import asyncpg
import psutil
import pytest
from spacehub_dev.launcher.supervising import until
from spacehub_dev.provisioning.accounts import elsewhere
from spacehub_dev.provisioning.leftovers import MARK
from spacehub_dev.provisioning.ports import STANDARD
from spacehub_dev.testing.standin_topology import QUEUE

T = TypeVar("T")


class Launcher:
    """One run of the launcher in a directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        environment = {name: value for name, value in os.environ.items() if name not in ("AMQP_URL", "DATABASE_URL")}
        command = [sys.executable, "-m", "spacehub_dev.testing.standin_system", str(directory)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)

    def read_until_ready(self) -> list[str]:
        """What it printed up to `ready`, or all of it when it ended before."""
        assert self.process.stdout is not None
        lines = []
        for line in self.process.stdout:
            lines.append(line.rstrip("\n"))
            if lines[-1] == "ready":
                break
        return lines

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        code = self.process.wait(60)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """As in root's home, other users may not enter it: PostgreSQL's own user has its data elsewhere then."""
    directory = tmp_path_factory.mktemp("launcher") / "run"
    yield directory
    shutil.rmtree(elsewhere(directory), ignore_errors=True)


@pytest.fixture(scope="module")
def strangers() -> Iterator[None]:
    """Somebody else's servers on the standard ports: whoever talks to them is cut off."""
    with contextlib.ExitStack() as stack:
        for port in (5432, 5672, 15672):
            taken = stack.enter_context(socket.socket())
            with contextlib.suppress(OSError):  # a real stranger is as good
                taken.bind(("127.0.0.1", port))
                taken.listen()
        yield


@pytest.fixture(scope="module")
def launcher(directory: Path, strangers: None) -> Iterator[Launcher]:
    """A launcher that found the directory as an earlier one left it when it was killed with -9."""
    first = Launcher(directory)
    assert first.read_until_ready()[-1] == "ready"
    first.end(signal.SIGKILL)
    second = Launcher(directory)
    assert second.read_until_ready()[-1] == "ready"
    yield second
    if second.process.poll() is None:
        second.end(signal.SIGTERM)


def test_a_stale_directory_is_taken_over(launcher: Launcher) -> None:
    where = told(launcher)

    assert sorted(where["processes"]) == ["postman consume", "postman forward"]
    assert sorted(where) == ["amqp_url", "databases", "letters_url", "management_url", "processes", "publishers"]
    assert len(ours(launcher)) >= 5  # two stand-ins, PostgreSQL, RabbitMQ, epmd; one of each
    assert sum("postgres -D" in " ".join(process.cmdline()) for process in ours(launcher)) == 1


def test_strangers_on_the_standard_ports_are_not_used(launcher: Launcher) -> None:
    where = told(launcher)

    ports = {urlsplit(url).port for url in [where["amqp_url"], where["management_url"], *where["databases"].values()]}

    assert not ports & STANDARD


async def test_a_killed_database_comes_back_with_its_data(launcher: Launcher) -> None:
    url = told(launcher)["databases"]["inbox"]
    connection = await asyncpg.connect(url)
    await connection.execute("CREATE TABLE kept (id int)")
    await connection.execute("INSERT INTO kept VALUES (7)")

    one_of(launcher, "postgres -D").kill()

    assert await until(lambda: connection.is_closed(), within=20)
    again = await patiently(lambda: asyncpg.connect(url))
    assert await again.fetchval("SELECT id FROM kept") == 7
    await again.close()


async def test_a_killed_broker_comes_back_with_its_messages(launcher: Launcher) -> None:
    url = told(launcher)["amqp_url"]
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        await channel.default_exchange.publish(aio_pika.Message(b"kept"), routing_key=QUEUE)
        broker = one_of(launcher, "beam.smp")

        broker.kill()

        assert await until(lambda: not broker.is_running(), within=20)
    assert await patiently(lambda: first_message(url, QUEUE)) == b"kept"


def test_a_second_run_beside_it_says_so_and_ends(launcher: Launcher) -> None:
    second = Launcher(launcher.directory)

    said = second.read_until_ready()

    assert second.process.wait(30) == 1
    assert second.process.stdout is not None
    second.process.stdout.close()
    assert f"launcher pid {launcher.process.pid}" in "\n".join(said)
    assert launcher.process.poll() is None


def test_sigterm_stops_all_of_ours_and_ends_well(launcher: Launcher) -> None:
    assert ours(launcher)

    code = launcher.end(signal.SIGTERM)

    assert code == 0
    assert ours(launcher) == []
    assert not (launcher.directory / "endpoints.json").exists()


async def first_message(amqp_url: str, queue: str) -> bytes:
    async with await aio_pika.connect(amqp_url) as connection:
        found = await (await connection.channel()).get_queue(queue)
        message = await found.get(timeout=3)  # a quorum queue without a leader yet leaves a get unanswered
        assert message is not None
        await message.ack()
        return message.body


async def patiently(connect: Callable[[], Awaitable[T]]) -> T:
    """What `connect` gives, as soon as there is a server that answers."""
    async with asyncio.timeout(60):
        while True:
            try:
                return await connect()
            except (OSError, asyncpg.PostgresError, aio_pika.exceptions.AMQPError):
                await asyncio.sleep(0.1)


def told(launcher: Launcher) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((launcher.directory / "endpoints.json").read_text())
    return content


def ours(launcher: Launcher) -> list[psutil.Process]:
    """Every living process that carries the mark of this directory."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get(MARK) == str(launcher.directory):
                found.append(process)
    return found


def one_of(launcher: Launcher, words: str) -> psutil.Process:
    return next(process for process in ours(launcher) if words in " ".join(process.cmdline()))
