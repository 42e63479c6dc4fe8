"""What other domains said, in PostgreSQL: tombstones, budget limits, and the ids of the facts that were taken in."""

from collections.abc import AsyncIterator, Collection, Iterable
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from spacehub import database

from sms_sender import budget_months
from sms_sender.closings import Closing, Limit

if TYPE_CHECKING:
    import asyncpg

_TAKE_IN: Final = """
INSERT INTO learned_facts (fact_id) SELECT fact_id FROM unnest($1::uuid[]) AS new (fact_id)
ON CONFLICT DO NOTHING RETURNING fact_id"""

_CLOSE: Final = """
INSERT INTO closings (subject, closed, decided_at)
SELECT * FROM unnest($1::text[], $2::boolean[], $3::timestamptz[])
ON CONFLICT (subject) DO UPDATE
SET closed = excluded.closed, decided_at = excluded.decided_at, recorded_at = excluded.recorded_at
WHERE closings.decided_at <= excluded.decided_at"""

_LIMIT: Final = """
INSERT INTO budget_limits (owner_id, monthly_segments, set_at)
SELECT * FROM unnest($1::uuid[], $2::integer[], $3::timestamptz[])
ON CONFLICT (owner_id) DO UPDATE SET monthly_segments = excluded.monthly_segments, set_at = excluded.set_at
WHERE budget_limits.set_at <= excluded.set_at"""

_ERASE: Final = """
UPDATE sms SET user_id = NULL, phone_hash = NULL, phone_last4 = NULL
WHERE user_id = ANY ($1::uuid[]) AND settled_at IS NOT NULL"""


class FactsStore:
    """Everything here raises Away when the database cannot be reached."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self._pool = pool

    @asynccontextmanager
    async def learning(self) -> AsyncIterator["Learning"]:
        """A transaction to learn in. It locks facts, subjects, SMS and owners, in this order."""
        async with database.transaction(self._pool) as connection:
            yield Learning(connection)


class Learning:
    """A transaction in which facts are taken in."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def now(self) -> datetime:
        """The moment on the database's clock."""
        moment: datetime = await self._connection.fetchval("SELECT clock_timestamp()")
        return moment

    async def unseen(self, ids: Iterable[UUID]) -> AbstractSet[UUID]:
        """Those of `ids` that were never taken in; from now on they were."""
        return {row["fact_id"] for row in await self._connection.fetch(_TAKE_IN, sorted(set(ids)))}

    async def close(self, closings: Collection[Closing]) -> None:
        """Write tombstones, and lift them, where that is newer than what is known."""
        ordered = sorted(closings, key=lambda closing: closing.subject)
        await self._connection.execute(
            _CLOSE,
            [closing.subject for closing in ordered],
            [closing.closed for closing in ordered],
            [closing.decided_at for closing in ordered],
        )

    async def limit(self, limits: Collection[Limit]) -> None:
        """Write what owners may spend, where that is newer than what is known, and tell what their months reached."""
        if not limits:
            return
        ordered = sorted(limits, key=lambda limit: limit.owner_id)
        await self._connection.execute(
            _LIMIT,
            [limit.owner_id for limit in ordered],
            [limit.monthly_segments for limit in ordered],
            [limit.set_at for limit in ordered],
        )
        await budget_months.limits_changed(self._connection, [limit.owner_id for limit in ordered])

    async def erase(self, users: Collection[UUID]) -> None:
        """Take what points to these people out of the SMS that have their end; the sweeper sees to the others."""
        if users:
            await self._connection.execute(_ERASE, list(users))
