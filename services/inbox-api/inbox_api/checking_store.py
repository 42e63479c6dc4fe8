"""The database side of checking: deliveries without an end, taken so that nobody waits for anybody.

The row in `unsettled` is only ever touched by whoever holds the delivery's; here both are taken or left.
"""

from collections.abc import AsyncIterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
from spacehub import database, outbox

from inbox_api import subject_rows
from inbox_api.closings import Closing, of_user
from inbox_api.request_rows import request_row
from inbox_api.settling_store import PostgresSettling
from inbox_api.unsettled import Findings, Unsettled

_DUE = """
SELECT id, subject, user_id FROM unsettled JOIN deliveries ON id = delivery_id
WHERE look_at <= $1 ORDER BY look_at LIMIT $2"""

_HOLD = """
SELECT deliveries.id, channel, critical, subject, user_id, expires_at, sealed, looked,
  EXISTS (SELECT FROM outbox WHERE message_id = deliveries.id::text) AS waits
FROM unsettled JOIN deliveries ON id = delivery_id
WHERE id = ANY($1::uuid[]) AND look_at <= $2 AND status = 'pending'
FOR UPDATE OF deliveries, unsettled SKIP LOCKED"""

_LOOK_AGAIN = """
UPDATE unsettled SET look_at = next.look_at, looked = next.looked
FROM unnest($1::uuid[], $2::timestamptz[], $3::integer[]) AS next (id, look_at, looked) WHERE delivery_id = next.id"""

_HANDED_ON = "UPDATE deliveries SET handed_on_again = handed_on_again || $2::timestamptz WHERE id = ANY($1::uuid[])"


class PostgresChecks:
    """Looks, each in a transaction of its own. Raises Away while the database cannot be reached."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self._pool = pool

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator["PostgresCheck"]:
        async with database.transaction(self._pool) as connection:
            yield PostgresCheck(connection)


class PostgresCheck:
    """The statements of one look. Subjects are locked before deliveries, as in notifying."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def due(self, *, now: datetime, most: int) -> dict[UUID, AbstractSet[str]]:
        rows = await self._connection.fetch(_DUE, now, most)
        return {row["id"]: _subjects(row["subject"], row["user_id"]) for row in rows}

    async def lock(self, *, shared: AbstractSet[str]) -> None:
        await subject_rows.lock(self._connection, shared=shared)

    async def hold(self, deliveries: Sequence[UUID], *, now: datetime) -> list[Unsettled]:
        return [Unsettled(**row) for row in await self._connection.fetch(_HOLD, deliveries, now)]

    async def closings(self, subjects: AbstractSet[str]) -> dict[str, Closing]:
        return await subject_rows.closings(self._connection, subjects)

    async def write(self, findings: Findings) -> None:
        if findings.ends:
            await PostgresSettling(self._connection).record(findings.ends)
        if findings.look_again:
            moments, looks = zip(*findings.look_again.values(), strict=True)
            await self._connection.execute(_LOOK_AGAIN, list(findings.look_again), moments, looks)
        rows = [
            request_row(
                request,
                critical=delivery.critical,
                available_at=None,
                subject=delivery.subject,
                user_id=delivery.user_id,
            )
            for delivery, request in findings.forward
        ]
        if rows:
            forwarded = [delivery.id for delivery, _ in findings.forward]
            await self._connection.execute(_HANDED_ON, forwarded, findings.at)
            await outbox.write(self._connection, rows)


def _subjects(subject: str | None, user_id: UUID | None) -> set[str]:
    user = of_user(user_id) if user_id else None
    return {one for one in (subject, user) if one is not None}
