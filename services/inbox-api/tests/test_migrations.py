"""The migrations and `tables` say the same."""

import asyncio
from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from inbox_api.app import MIGRATIONS
from inbox_api.tables import STATUSES, Table
from inbox_api.testing import Inbox
from spacehub import migrating
from spacehub.database import plain_url
from sqlalchemy import Connection, pool
from sqlalchemy.ext.asyncio import create_async_engine

OTHERS = {"outbox", "alembic_version"}
"""Tables that `spacehub` and Alembic describe themselves."""


async def test_migrations_make_the_tables_that_are_described(inbox_url: str) -> None:
    assert await _differences(inbox_url) == []


async def test_migrating_again_changes_nothing(inbox_url: str) -> None:
    await asyncio.to_thread(migrating.upgrade, MIGRATIONS, inbox_url)

    assert await _differences(inbox_url) == []


async def test_checks_allow_what_is_described_and_nothing_else(inbox: Inbox) -> None:
    checks = {
        row["name"]: row["definition"]
        for row in await inbox.rows(
            "SELECT conname AS name, pg_get_constraintdef(oid) AS definition FROM pg_constraint"
            " WHERE contype = 'c' AND conname LIKE 'known_%'"
        )
    }

    assert set(checks) == {"known_channel", "known_locale", "known_status"}
    assert all(f"'{status}'" in checks["known_status"] for status in STATUSES)
    assert checks["known_status"].count("::text") == len(STATUSES)


async def _differences(url: str) -> list[Any]:
    engine = create_async_engine(
        plain_url(url).replace("postgresql://", "postgresql+asyncpg://", 1), poolclass=pool.NullPool
    )
    try:
        async with engine.connect() as connection:
            return await connection.run_sync(_compared)
    finally:
        await engine.dispose()


def _compared(connection: Connection) -> list[Any]:
    options = {
        "compare_type": True,
        "compare_server_default": True,
        "include_name": lambda name, kind, parents: kind != "table" or name not in OTHERS,
    }
    context = MigrationContext.configure(connection, opts=options)
    differences: list[Any] = compare_metadata(context, Table.metadata)
    return differences
