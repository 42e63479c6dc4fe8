"""A ledger of its own for every test that asks."""

from collections.abc import AsyncIterator

import asyncpg
import pytest
from pydantic import SecretStr
from sms_sender.app import MIGRATIONS
from sms_sender.ledger import Ledger
from sms_sender.testing.books import Book, MemoryBook, PostgresBook
from spacehub import database, migrating
from spacehub_dev.provisioning.fresh import MakeDatabase

PHONE_KEY = SecretStr("a key for tests")


def migrate(url: str) -> None:
    migrating.upgrade(MIGRATIONS, url)


@pytest.fixture
async def database_url(make_database: MakeDatabase) -> str:
    return await make_database(migrate)


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator["asyncpg.Pool[asyncpg.Record]"]:
    pool = await database.open_pool(database_url)
    yield pool
    await pool.close()


@pytest.fixture
def ledger(pool: "asyncpg.Pool[asyncpg.Record]") -> Ledger:
    return Ledger(pool, phone_key=PHONE_KEY)


@pytest.fixture(params=["memory", "postgresql"])
def book(request: pytest.FixtureRequest) -> Book:
    """Either ledger: whoever asks for this tests the promise of both."""
    if request.param == "memory":
        return MemoryBook()
    return PostgresBook(request.getfixturevalue("ledger"), request.getfixturevalue("pool"))
