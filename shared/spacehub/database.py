"""Connections to a service's own PostgreSQL: pools, short transactions, and which errors mean that it is away."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from types import TracebackType
from typing import Any, Protocol

import asyncpg

from spacehub.errors import Away, count_away
from spacehub.secret import Secret, now

_CODECS = {"jsonb": (json.dumps, json.loads)}

CLOSE_TIMEOUT = 2.0
COMMAND_TIMEOUT = 30.0
"""Seconds a statement may take before the database counts as away."""

_SERVER_SETTINGS = {"timezone": "UTC", "idle_in_transaction_session_timeout": "60000"}

_AWAY = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,  # shut down, crashed, starting, statement cancelled
    asyncpg.InsufficientResourcesError,  # disk, memory or connections used up
    asyncpg.TransactionRollbackError,  # deadlocks, serialization
    asyncpg.PostgresSystemError,
    asyncpg.LockNotAvailableError,
    asyncpg.ReadOnlySQLTransactionError,  # a standby
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.InvalidAuthorizationSpecificationError,  # passwords in the middle of a change: no message's fault
    asyncpg.InvalidCatalogNameError,
)
"""The database's own condition, as against what is wrong with a statement or its values."""

_ENDED = re.compile("clos|cannot switch to|not connected")
"""The driver's words for a connection that is closed, or about to be: the server has taken leave of it."""


class Lender(Protocol):
    """Whatever lends connections: the driver's pool, or `lending.Connections`."""

    def acquire(self, *, timeout: float) -> AbstractAsyncContextManager[Any]:
        """A connection for the length of a block; after so many seconds without one, TimeoutError."""


async def open_pool(url: Secret, *, size: int = 10) -> "asyncpg.Pool[asyncpg.Record]":
    """A pool of at most `size` connections that connects when first used, so a service starts without its database.

    Each connection is made by the URL as it is at that moment.
    """

    async def connect_now(*_: Any, **options: Any) -> "asyncpg.Connection[asyncpg.Record]":
        return await asyncpg.connect(plain_url(now(url)), **options)

    return await asyncpg.create_pool(
        connect=connect_now,
        min_size=0,
        max_size=size,
        command_timeout=COMMAND_TIMEOUT,
        timeout=5.0,
        init=_prepare,
        reset=_as_it_is,
        max_inactive_connection_lifetime=60.0,
        server_settings=_SERVER_SETTINGS,
    )


@asynccontextmanager
async def pooled(url: Secret, *, size: int = 10) -> AsyncIterator["asyncpg.Pool[asyncpg.Record]"]:
    """Such a pool for the length of a block; at the end a database that is gone is not waited for."""
    pool = await open_pool(url, size=size)
    try:
        yield pool
    finally:
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await pool.close()


async def connect(url: Secret) -> "asyncpg.Connection[asyncpg.Record]":
    """One connection of its own, prepared like those of a pool. Raises Away."""
    async with mapped():
        connection = await asyncpg.connect(
            plain_url(now(url)), command_timeout=COMMAND_TIMEOUT, timeout=5.0, server_settings=_SERVER_SETTINGS
        )
        await _prepare(connection)
    return connection


@asynccontextmanager
async def transaction(pool: Lender) -> AsyncIterator[Any]:
    """One transaction, committed when the block ends well. Raises Away when the database cannot be reached."""
    async with mapped(), pool.acquire(timeout=10.0) as connection, connection.transaction():
        yield connection


def reading(pool: Lender) -> AbstractAsyncContextManager[Any]:
    """A connection for single statements. Raises Away when the database cannot be reached."""
    return _Reading(pool.acquire(timeout=10.0))


async def answers(pool: Lender) -> bool:
    """Whether the database answers now: for readiness and for the end of a pause."""
    try:
        async with asyncio.timeout(5), pool.acquire(timeout=5) as connection:
            await connection.execute("SELECT 1")
    except Exception:
        return False
    return True


def plain_url(url: str) -> str:
    """The URL as asyncpg reads it, also when it names an SQLAlchemy driver."""
    return url.replace("postgresql+asyncpg://", "postgresql://", 1)


def mapped() -> AbstractAsyncContextManager[None]:
    """Raise Away in place of the driver's errors that mean the database cannot be reached or was too busy.

    The others lose their detail on the way: it holds the failing row, and a row may hold a phone number or a text.
    """
    return _MAPPED


class _Mapped(AbstractAsyncContextManager[None]):
    """See `mapped`. Classes, this and `_Reading`: entered at every call, where a generator takes four times as long."""

    async def __aenter__(self) -> None:
        pass

    async def __aexit__(self, _: object, fault: BaseException | None, __: object) -> None:
        if isinstance(fault, asyncpg.InterfaceError | asyncpg.InternalClientError):
            if _ENDED.search(str(fault)):
                count_away("postgresql")
                raise Away("postgresql: connection closed") from fault
        elif isinstance(fault, _AWAY):
            count_away("postgresql")
            raise Away(f"postgresql: {type(fault).__name__}") from fault
        elif isinstance(fault, asyncpg.PostgresError):
            fault.detail = None


_MAPPED = _Mapped()


class _Reading(AbstractAsyncContextManager[Any]):
    """See `reading`."""

    __slots__ = ("_loan",)

    def __init__(self, loan: AbstractAsyncContextManager[Any]) -> None:
        self._loan = loan

    async def __aenter__(self) -> Any:
        async with _MAPPED:
            return await self._loan.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        async with _MAPPED:
            await self._loan.__aexit__(kind, fault, trace)
        await _MAPPED.__aexit__(kind, fault, trace)


async def _as_it_is(_: object) -> None:
    """Put a connection back without asking the server to reset it: a round trip a time, for what we never change.

    The driver has rolled back by then what was open. Locks of ours end with their transaction; who listens or sets
    anything for a session has a connection of its own.
    """


async def _prepare(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    for name, (encode, decode) in _CODECS.items():
        await connection.set_type_codec(name, schema="pg_catalog", encoder=encode, decoder=decode)
