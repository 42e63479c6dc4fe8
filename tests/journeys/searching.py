"""Searching a whole running system for values that must not be where they are not needed."""

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import asyncpg
import httpx
from spacehub.topology import WORK_QUEUES
from spacehub_dev.launcher.system import System

from tests.journeys.outsider import Outsider

ALLOWED: Mapping[tuple[str, str, str], tuple[frozenset[str], str]] = {
    ("inbox", "contacts", "phone"): (frozenset({"phone"}), "the contact data itself"),
    ("scheduler", "timers", "data"): (frozenset({"phone"}), "the event that will be fired names its recipient"),
    ("inbox", "notifications", "title"): (frozenset({"text"}), "the inbox is there to be read"),
    ("inbox", "notifications", "body"): (frozenset({"text"}), "the inbox is there to be read"),
    ("inbox", "outbox", "body"): (frozenset({"phone", "code", "text"}), "a request that waits to be forwarded"),
    ("scheduler", "outbox", "body"): (frozenset({"phone"}), "an event that waits to be forwarded"),
    ("devices", "fcm_tokens", "token"): (frozenset({"token"}), "the address of the device itself"),
}
"""Where a kind of secret may lie, and why: database, table and column. Everywhere else it is a leak."""


@dataclass(frozen=True)
class Secret:
    """A planted value, with all the spellings in which it may show up again."""

    kind: str
    spellings: tuple[str, ...]

    def is_in(self, text: str) -> bool:
        return any(spelling in text for spelling in self.spellings)


@dataclass(frozen=True)
class Place:
    """Somewhere to look: a file, a page, a column, a header."""

    name: str
    text: str
    allowed: frozenset[str] = frozenset()


def leaks(secrets: Iterable[Secret], places: Iterable[Place]) -> list[str]:
    """Which kind of secret lies where it does not belong; never the value."""
    secrets = list(secrets)
    return sorted(
        {
            f"{secret.kind} in {place.name}"
            for place in places
            for secret in secrets
            if secret.kind not in place.allowed and secret.is_in(place.text)
        }
    )


async def everywhere(system: System, outsider: Outsider) -> list[Place]:
    """Every log, every page of metrics, every column of every table, every header of every dead letter."""
    return [
        *logs(system),
        *[page async for page in metrics(system)],
        *[column async for column in columns(system)],
        *[header async for header in dead_letter_headers(outsider)],
    ]


def logs(system: System) -> Iterator[Place]:
    """Every log file of our processes and of the servers beneath them."""
    for path in sorted(system.directory.rglob("*")):
        if path.is_file() and (path.suffix == ".log" or path.parent.name in ("log", "logs")):
            yield Place(f"the log {path.relative_to(system.directory)}", path.read_text(errors="replace"))


async def metrics(system: System) -> AsyncIterator[Place]:
    """The page of every process that has one."""
    async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
        for spec in system.plan.processes:
            if spec.port is None or "simulator" in spec.name:
                continue
            answer = await http.get(f"http://127.0.0.1:{spec.port}/metrics")
            assert answer.status_code == 200, spec.name
            yield Place(f"the metrics of {spec.name}", answer.text)


async def columns(system: System) -> AsyncIterator[Place]:
    """Every column of every table, all its rows together."""
    for database, url in system.backing.databases.items():
        connection = await asyncpg.connect(url)
        try:
            for table in await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"):
                name = table["tablename"]
                rows = await connection.fetch(f'SELECT * FROM "{name}"')
                for column in rows[0].keys() if rows else ():
                    allowed, _ = ALLOWED.get((database, name, column), (frozenset(), ""))
                    text = "\n".join(_readable(row[column]) for row in rows)
                    yield Place(f"{database}.{name}.{column}", text, allowed)
        finally:
            await connection.close()


async def dead_letter_headers(outsider: Outsider) -> AsyncIterator[Place]:
    """Headers and properties of every dead letter there is."""
    for work in WORK_QUEUES:
        async with Outsider.of(outsider.endpoints) as reader:
            for letter in await reader.dead_letters(work.dead):
                told = [letter.message_id, letter.correlation_id, letter.type, letter.headers]
                yield Place(f"the headers of a letter in {work.dead}", "\n".join(map(_readable, told)))


def _readable(value: Any) -> str:
    match value:
        case bytes() | bytearray():
            return value.decode(errors="replace")
        case dict():
            return "\n".join(f"{key} {_readable(inner)}" for key, inner in value.items())
        case list() | tuple():
            return "\n".join(map(_readable, value))
        case _:
            return str(value)
