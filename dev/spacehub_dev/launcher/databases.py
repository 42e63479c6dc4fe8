"""The four services' databases on one server: made when absent, never emptied."""

from collections.abc import Mapping

import asyncpg

from spacehub_dev.provisioning.fresh import database_url

NAMES = ("devices", "inbox", "sms", "scheduler")


def database_urls(server_url: str, *, prefix: str) -> Mapping[str, str]:
    """The URL of each service's database; `prefix` keeps them apart from others on a server that is not ours."""
    return {name: database_url(server_url, prefix + name) for name in NAMES}


async def create_absent(server_url: str, *, prefix: str) -> None:
    """Make the databases that are not there yet."""
    connection = await asyncpg.connect(server_url)
    try:
        present = {row["datname"] for row in await connection.fetch("SELECT datname FROM pg_database")}
        for name in NAMES:
            if prefix + name not in present:
                await connection.execute(f"CREATE DATABASE \"{prefix}{name}\" TEMPLATE template0 ENCODING 'UTF8'")
    finally:
        await connection.close()


async def drop_all(server_url: str, *, prefix: str) -> None:
    """Drop the databases, also when somebody is connected; for a demo's, which begin empty each time."""
    connection = await asyncpg.connect(server_url)
    try:
        for name in NAMES:
            await connection.execute(f'DROP DATABASE IF EXISTS "{prefix}{name}" WITH (FORCE)')
    finally:
        await connection.close()
