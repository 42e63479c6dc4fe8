"""The database side of settling: delivery rows held, then updated in one statement for the batch."""

import json
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from operator import attrgetter
from typing import Any
from uuid import UUID

import asyncpg
from spacehub import database

from inbox_api.ends import End, Standing

_HOLD = "SELECT id, status, reason, ended_at FROM deliveries WHERE id = ANY($1::uuid[]) ORDER BY id FOR UPDATE"

_RECORD = """
WITH told AS (
  SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[], $5::text[], $6::integer[], $7::integer[],
                       $8::integer[], $9::integer[], $10::integer[], $11::text[], $12::text[])
    AS told (id, status, reason, ended_at, message_id, segments, attempts, duration_ms, devices_reached, devices_dead,
             attempt_log, earlier)
), settled AS (
  DELETE FROM unsettled USING told WHERE delivery_id = told.id
)
UPDATE deliveries SET
  status = told.status, reason = told.reason, ended_at = told.ended_at, message_id = told.message_id,
  segments = told.segments, attempts = told.attempts, duration_ms = told.duration_ms,
  devices_reached = told.devices_reached, devices_dead = told.devices_dead,
  attempt_log = coalesce(told.attempt_log::jsonb, deliveries.attempt_log),
  earlier_ends = earlier_ends || told.earlier::jsonb
FROM told WHERE deliveries.id = told.id"""

_end = attrgetter(
    *("id", "status", "reason", "ended_at", "message_id", "segments", "attempts", "duration_ms"),
    *("devices_reached", "devices_dead"),
)


class PostgresDeliveries:
    """Batches of outcomes, each in a transaction of its own. Raises Away while the database cannot be reached."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self._pool = pool

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator["PostgresSettling"]:
        async with database.transaction(self._pool) as connection:
            yield PostgresSettling(connection)


class PostgresSettling:
    """The two statements of one batch of outcomes."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def standing(self, deliveries: Iterable[UUID]) -> dict[UUID, Standing]:
        rows = await self._connection.fetch(_HOLD, list(deliveries))
        return {row["id"]: Standing(row["status"], row["reason"], row["ended_at"]) for row in rows}

    async def record(self, ends: Sequence[End]) -> None:
        rows = [(*_end(end), _attempt_log(end), _earlier(end)) for end in ends]
        await self._connection.execute(_RECORD, *zip(*rows, strict=True))


def _attempt_log(end: End) -> str | None:
    """As text: the driver would take an array of lists for one of two dimensions."""
    if end.attempt_log is None:
        return None
    return json.dumps([attempt.model_dump(mode="json", exclude_none=True) for attempt in end.attempt_log])


def _earlier(end: End) -> str:
    ends = [
        {"status": one.status, "reason": one.reason, "at": one.ended_at.isoformat() if one.ended_at else None}
        for one in end.earlier
    ]
    return json.dumps(ends)
