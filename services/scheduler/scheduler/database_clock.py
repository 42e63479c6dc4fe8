"""The database as everybody's clock: what time it is there, and the word it passes on that something was armed."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Protocol

import asyncpg
from spacehub import database
from spacehub.secret import Secret

from scheduler.timetable import ARMED


class Listener(Protocol):
    """Who is told what was armed, and woken when no more can be heard."""

    def armed(self, due_at: datetime) -> None: ...
    def ring(self) -> None: ...


class DatabaseClock:
    """The database's clock: the one time that every process agrees on."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self._pool = pool

    async def now(self) -> datetime:
        """What time it is there. Raises Away."""
        async with database.reading(self._pool) as connection:
            now: datetime = await connection.fetchval("SELECT clock_timestamp()")
        return now


@asynccontextmanager
async def hearing(listener: Listener, *, url: Secret) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Tell `listener` whatever is armed, in any process. The check inside raises Away once nothing can be heard."""
    connection = await database.connect(url)

    async def check() -> None:
        async with database.mapped():
            await connection.execute("SELECT 1")

    try:
        connection.add_termination_listener(lambda _: listener.ring())
        async with database.mapped():
            await connection.add_listener(ARMED, lambda *heard: listener.armed(datetime.fromisoformat(str(heard[-1]))))
        yield check
    finally:
        connection.terminate()
