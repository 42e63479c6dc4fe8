"""A migrated database of its own for every test that asks, what works on it, and real processes beside it."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest
from scheduler.app import MIGRATIONS
from scheduler.testing import SettableClock, Stage
from spacehub import database as postgresql
from spacehub import migrating
from spacehub_dev.provisioning.fresh import MakeDatabase
from spacehub_dev.provisioning.ports import release_port, reserve_port

COMMAND = Path(sys.executable).parent / "scheduler"
Start = Callable[..., "subprocess.Popen[bytes]"]


def migrate(url: str) -> None:
    migrating.upgrade(MIGRATIONS, url)


@pytest.fixture
async def timers_url(make_database: MakeDatabase) -> str:
    """The URL of a fresh database with the scheduler's tables."""
    return await make_database(migrate)


@pytest.fixture
async def pool(timers_url: str) -> "AsyncIterator[asyncpg.Pool[asyncpg.Record]]":
    pool = await postgresql.open_pool(timers_url)
    yield pool
    await pool.close()


@pytest.fixture
def clock() -> SettableClock:
    """Tuesday, 24 November 2026, noon in Ulaanbaatar, until a test sets it."""
    return SettableClock(datetime(2026, 11, 24, 4, 0, tzinfo=UTC))


@pytest.fixture
def stage(pool: "asyncpg.Pool[asyncpg.Record]", clock: SettableClock) -> Stage:
    return Stage(pool, clock)


@pytest.fixture
def health_port() -> Iterator[int]:
    """A port that nothing listens on."""
    port = reserve_port()
    yield port
    release_port(port)


@pytest.fixture
def environment(timers_url: str) -> Mapping[str, str]:
    """What a scheduler process on this database is told; there is no broker at its URL."""
    return {
        **os.environ,
        "SCHEDULER_DATABASE_URL": timers_url,
        "SCHEDULER_AMQP_URL": "amqp://127.0.0.1:1/",
        "SCHEDULER_HEALTH_PORT": "1",
    }


@pytest.fixture
def start(environment: Mapping[str, str], tmp_path: Path) -> Iterator[Start]:
    """`start("fire", SCHEDULER_RELEASE_RATE="40")` starts a process; it is killed at the end."""
    started: list[subprocess.Popen[bytes]] = []
    ports: list[int] = []

    def run(verb: str, **settings: str) -> "subprocess.Popen[bytes]":
        ports.append(reserve_port())
        seen = {**environment, "SCHEDULER_HEALTH_PORT": str(ports[-1]), **settings}
        with (tmp_path / f"{len(started)} {verb}.log").open("wb") as log:
            started.append(subprocess.Popen([COMMAND, verb], env=seen, stdout=log, stderr=subprocess.STDOUT))
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.wait()
    for port in ports:
        release_port(port)
