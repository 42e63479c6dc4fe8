"""Secrets that change under a running system: passwords of the broker's users and of the database, the internal secret.

The processes find them in mounted files, as in a cluster. Every connection is cut while the file is still the old one,
which is the worst moment: whoever connects again meets the refusal first.
"""

import asyncio
import secrets
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import asyncpg
from spacehub import management, permissions
from spacehub.events.publishers import SERVICES
from spacehub.testing.waiting import eventually
from spacehub_dev.launcher.processes import ProcessSpec

from tests.faults.load import Offering
from tests.faults.world import World, names_of

MOUNTED = ("_URL", "_PASSWORD", "_SECRET", "_KEY")
"""The ends of the variables that a cluster would mount."""

LATE = 2.0
"""Seconds by which a file is later than the password that it holds."""

OURS = [user for user in permissions.users() if user.name in (*SERVICES, permissions.TOPOLOGY)]
ROLE = "rotated"


def mounted(spec: ProcessSpec, directory: Path) -> ProcessSpec:
    """The same process with its secrets in files of `directory` instead of its environment."""
    private = {name: value for name, value in spec.environment.items() if name.endswith(MOUNTED)}
    directory.mkdir(exist_ok=True)
    for name, value in private.items():
        _write(directory / name.lower(), value)
    told = {name: value for name, value in spec.environment.items() if name not in private}
    return replace(spec, environment={**told, "SPACEHUB_SECRETS": str(directory)})


async def secrets_changed(world: World, _: Offering) -> str:
    """Twice each: the broker's passwords, the database's login, the secret between push-sender and devices-api."""
    place = world.system.directory / "mounted"
    refused = 0
    for _round in range(2):
        refused += await _broker(world, place)
        await _database(world, place)
        await _between_services(world, place)
    for name in names_of(world):
        await world.ready(name)
    return f"every connection was cut twice; {refused} refusals of the old passwords at the broker"


async def _broker(world: World, place: Path) -> int:
    """New passwords for all our users; how many logins with the old ones the broker refused meanwhile."""
    before = await _refusals(world)
    given = {user.name: secrets.token_hex(16) for user in OURS}
    await management.make_users(world.rabbitmq.management_url, OURS, given, vhost="/")
    for connection in (await world.manage("GET", "/api/connections")).json():
        if connection.get("user") in given:
            path = f"/api/connections/{quote(connection['name'], safe='')}"
            await world.http.request("DELETE", world.rabbitmq.management_url + path, timeout=20)
    await asyncio.sleep(LATE)
    for file in _files(place, "*"):
        parts = urlsplit(file.read_text())
        if parts.username in given and parts.scheme in ("amqp", "http"):
            _write(file, _with_login(file.read_text(), parts.username, given[parts.username]))
    for name in names_of(world):
        await world.ready(name)
    return await _refusals(world) - before


async def _refusals(world: World) -> int:
    log = world.system.directory / "logs" / "rabbitmq.log"
    return (await asyncio.to_thread(log.read_text, errors="replace")).count("invalid credentials")


async def _database(world: World, place: Path) -> None:
    """Another login, or another password for it; whoever is connected by the old one is cut off."""
    password = secrets.token_hex(16)
    connection = await asyncpg.connect(world.system.backing.postgres.url)
    try:
        known = await connection.fetchval("SELECT count(*) FROM pg_roles WHERE rolname = $1", ROLE)
        verb = "ALTER" if known else "CREATE"
        await connection.execute(f"{verb} ROLE {ROLE} SUPERUSER LOGIN PASSWORD '{password}'")
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
        await asyncio.sleep(LATE)
        for file in _files(place, "*_database_url"):
            _write(file, _with_login(file.read_text(), ROLE, password))

        async def all_have_moved() -> bool:
            users = await connection.fetch("SELECT DISTINCT usename FROM pg_stat_activity WHERE datname = 'inbox'")
            return [row["usename"] for row in users] == [ROLE]

        if not known:
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE backend_type = 'client backend' AND usename <> $1 AND pid <> pg_backend_pid()",
                ROLE,
            )
            await eventually(all_have_moved, within=30, because="everybody should use the new login")
    finally:
        await connection.close()


async def _between_services(world: World, place: Path) -> None:
    """First both secrets are known everywhere, then only the new one."""
    files = place / "devices_api_internal_secret", place / "push_sender_devices_secret"
    old, new = files[0].read_text(), secrets.token_hex(16)
    for content in (f"{old} {new}", new):
        for file in files:
            await asyncio.sleep(LATE / 2)
            _write(file, content)


def _files(place: Path, pattern: str) -> list[Path]:
    return list(place.glob(pattern))


def _with_login(url: str, user: str, password: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{user}:{password}@{parts.netloc.rpartition('@')[2]}"))


def _write(file: Path, content: str) -> None:
    """Replaced as a whole, readable by its owner only."""
    draft = file.with_name(f".{file.name}")
    draft.touch(mode=0o600)
    draft.write_text(content)
    draft.replace(file)
