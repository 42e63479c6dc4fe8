"""A migrated inbox database for each test, and the notifying half on top of it."""

from collections.abc import AsyncIterator

import pytest
from inbox_api.app import MIGRATIONS
from inbox_api.testing import Inbox
from spacehub import database, migrating
from spacehub_dev.provisioning.fresh import MakeDatabase


def migrate(url: str) -> None:
    migrating.upgrade(MIGRATIONS, url)


@pytest.fixture
async def inbox_url(make_database: MakeDatabase) -> str:
    return await make_database(migrate)


@pytest.fixture
async def inbox(inbox_url: str) -> AsyncIterator[Inbox]:
    pool = await database.open_pool(inbox_url, size=8)
    yield Inbox(pool)
    await pool.close()


@pytest.fixture
async def another_inbox(make_database: MakeDatabase) -> AsyncIterator[Inbox]:
    """A second one, to compare with."""
    pool = await database.open_pool(await make_database(migrate), size=8)
    yield Inbox(pool)
    await pool.close()
