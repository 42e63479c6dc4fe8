"""Connections to PostgreSQL for a process that answers calls: lent for a statement or two at next to no cost."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING

from spacehub import database
from spacehub.secret import Secret

if TYPE_CHECKING:
    import asyncpg

    Connection = asyncpg.Connection[asyncpg.Record]

LONGEST_IDLE = 60.0
"""Seconds after which a connection that nobody wanted is not trusted: what lies between may have dropped it."""


class Connections:
    """Up to `size` connections, made when they are needed; `database.reading` and `transaction` borrow from them.

    At each loan the driver's pool makes a task, a proxy and three timers: 45 µs, as much as the statement itself. Here
    a connection is taken from a pile and put back, unless something went wrong while it was lent: then it is closed,
    so nobody need ask what state it is in.
    """

    def __init__(self, url: Secret, *, size: int, clock: Callable[[], float] = monotonic) -> None:
        self._url = url
        self._clock = clock
        self._free = asyncio.Semaphore(size)
        self._pile: list[tuple[Connection, float]] = []

    def acquire(self, *, timeout: float) -> "Loan":
        """A connection for the length of a block. Raises Away, or TimeoutError when none was free for so long."""
        return Loan(self, timeout)

    async def take(self, timeout: float) -> "Connection":
        """A connection that has to be given back."""
        if self._free.locked():
            async with asyncio.timeout(timeout):
                await self._free.acquire()
        else:
            await self._free.acquire()  # at once
        try:
            return self._from_the_pile() or await database.connect(self._url)
        except BaseException:
            self._free.release()
            raise

    async def give_back(self, connection: "Connection", *, sound: bool) -> None:
        """End of a loan; `sound` when nothing went wrong."""
        try:
            if sound:
                self._pile.append((connection, self._clock()))
            else:
                await _close(connection)
        finally:
            self._free.release()

    async def close(self) -> None:
        """Close those that are not lent."""
        pile, self._pile = self._pile, []
        await asyncio.gather(*(_close(connection) for connection, _ in pile))

    def _from_the_pile(self) -> "Connection | None":
        """The one used last, if it is as good as new."""
        while self._pile:
            connection, since = self._pile.pop()
            if not connection.is_closed() and self._clock() - since < LONGEST_IDLE:
                return connection
            connection.terminate()
        return None


@dataclass(slots=True)
class Loan:
    """The block in which a connection is lent: a class, since a generator would cost more than all the rest of this."""

    lender: Connections
    timeout: float
    connection: "Connection" = field(init=False)

    async def __aenter__(self) -> "Connection":
        self.connection = await self.lender.take(self.timeout)
        return self.connection

    async def __aexit__(self, _: object, fault: object, __: object) -> None:
        await self.lender.give_back(self.connection, sound=fault is None)


@asynccontextmanager
async def lending(url: Secret, *, size: int) -> AsyncIterator[Connections]:
    """Such connections for the length of a block."""
    connections = Connections(url, size=size)
    try:
        yield connections
    finally:
        await connections.close()


async def _close(connection: "Connection") -> None:
    """In good order, so that a statement that still runs there is stopped; else, after a while, anyhow."""
    with suppress(Exception):
        await connection.close(timeout=database.CLOSE_TIMEOUT)
