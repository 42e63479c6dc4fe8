"""A migrated database of its own for every test that asks, and what works on it."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import asyncpg
import pytest
from scheduler.app import MIGRATIONS
from scheduler.testing import SettableClock, Stage
from spacehub import database as postgresql
from spacehub import migrating
from spacehub_dev.provisioning.fresh import MakeDatabase


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
