"""Alembic for every service alike: migrations are plain SQL, run one at a time under a lock."""

import asyncio
from pathlib import Path
from typing import Annotated

import asyncpg
import structlog
import typer
from alembic import command, context
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, pool, text
from sqlalchemy.ext.asyncio import create_async_engine

from spacehub import database
from spacehub.database import plain_url
from spacehub.errors import Away

log = structlog.get_logger()

Wait = Annotated[bool, typer.Option("--wait", help="Change nothing: wait until somebody else has brought it there.")]
"""The option of every service's `migrate`: what starts before a process in a cluster."""

LOCK = 0x5ACE_0B
"""Advisory lock: two pods that migrate at the same time take turns."""


def upgrade(migrations: Path, url: str, *, wait: bool = False) -> None:
    """Bring the database at `url` to the newest version found in the folder `migrations`, or `wait` until it is."""
    config = Config()
    config.set_main_option("script_location", str(migrations))
    config.attributes["url"] = url
    if wait:
        asyncio.run(reached(ScriptDirectory.from_config(config), url))
    else:
        command.upgrade(config, "head")


async def reached(versions: ScriptDirectory, url: str, *, every: float = 2.0) -> None:
    """Wait until the database has the newest of `versions`, looking every so many seconds and saying what is missing.

    A version that is not among them is a newer one: an older program that is started again runs with it, since a
    migration only adds.
    """
    newest, older = versions.get_current_head(), {version.revision for version in versions.walk_revisions()}
    while True:
        try:
            found = await _version(url)
            if found == newest or (found is not None and found not in older):
                return
            log.info("schema_awaited", found=found, newest=newest)
        except Away as away:
            log.info("schema_awaited", reason=str(away))
        await asyncio.sleep(every)


async def _version(url: str) -> str | None:
    """The version that the database has, None while it has none."""
    connection = await database.connect(url)
    try:
        async with database.mapped():
            version: str | None = await connection.fetchval("SELECT version_num FROM alembic_version")
            return version
    except asyncpg.UndefinedTableError:
        return None
    finally:
        await connection.close()


def run_environment() -> None:
    """What a service's `migrations/env.py` calls."""
    asyncio.run(_run(context.config.attributes["url"]))


async def _run(url: str) -> None:
    engine = create_async_engine(
        plain_url(url).replace("postgresql://", "postgresql+asyncpg://", 1), poolclass=pool.NullPool
    )
    try:
        async with engine.connect() as connection:
            await connection.run_sync(_migrate)
            await connection.commit()
    finally:
        await engine.dispose()


def _migrate(connection: Connection) -> None:
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
