"""The database side of tracing: deliveries with what is known around them, newest first, each search by its index."""

from datetime import datetime
from uuid import UUID

from spacehub import database

from inbox_api.records import Record, Search

_COLUMNS = """id, source, event_id, type, channel, user_id, owner_id, subject, critical, locale, phone_last4, status,
  reason, available_at, expires_at, message_id, segments, attempts, duration_ms, devices_reached, devices_dead,
  created_at, ended_at, attempt_log, handed_on_again, earlier_ends"""

_FOUND = """
WITH found AS (
  SELECT {columns} FROM deliveries WHERE {conditions} ORDER BY created_at DESC, id DESC LIMIT {limit}
)
SELECT found.*, events.occurred_at, events.received_at,
  closing.event_id AS closed_by, closing.type AS closed_by_type, closing.decided_at AS closed_at,
  EXISTS (SELECT FROM outbox WHERE message_id = found.id::text) AS in_outbox,
  unsettled.look_at, notifications.read_at
FROM found
LEFT JOIN events ON events.event_id = found.event_id AND events.source = found.source
LEFT JOIN unsettled ON delivery_id = found.id
LEFT JOIN notifications ON notifications.id = found.id
LEFT JOIN LATERAL (
  SELECT closings.event_id, closings.decided_at, told.type
  FROM closings LEFT JOIN events AS told ON told.event_id = closings.event_id AND told.source = closings.source
  WHERE closed AND subject = ANY (ARRAY[found.subject, 'user:' || found.user_id])
  ORDER BY decided_at LIMIT 1
) AS closing ON true
ORDER BY found.created_at DESC, found.id DESC"""

_BY = {
    "user_id": "user_id = ${}::uuid",
    "phone_hash": "phone_hash = ${}::bytea",
    "event_id": "event_id = ${}::text",
    "status": "status = ${}::text",
    "delivery_id": "id = ${}::uuid",
}


class PostgresRecords:
    """Every delivery there is. Raises Away while the database cannot be reached."""

    def __init__(self, pool: database.Lender) -> None:
        self._pool = pool

    async def found(self, search: Search, *, after: tuple[datetime, UUID] | None, most: int) -> list[Record]:
        query, values = statement(search, after=after, most=most)
        async with database.reading(self._pool) as connection:
            return [Record(**row) for row in await connection.fetch(query, *values)]


def statement(search: Search, *, after: tuple[datetime, UUID] | None, most: int) -> tuple[str, list[object]]:
    """The query for `search` and its values. Only columns of ours stand in it, never a value."""
    conditions: list[str] = []
    values: list[object] = []
    for name, condition in _BY.items():
        if (value := getattr(search, name)) is not None:
            values.append(value)
            conditions.append(condition.format(len(values)))
    if after is not None:
        values += after
        conditions.append(f"(created_at, id) < (${len(values) - 1}::timestamptz, ${len(values)}::uuid)")
    values.append(most)
    query = _FOUND.format(
        columns=_COLUMNS, conditions=" AND ".join(conditions) or "true", limit=f"${len(values)}::bigint"
    )
    return query, values
