"""The database side of pruning: tables walked by their pages, so that no index is needed and every step is bounded."""

import asyncpg
from spacehub import database

from inbox_api.retention import Ages

PAGES = 500
"""Pages of a table (8 KiB each) in one transaction: some tens of thousands of rows at most, a fraction of a second."""

_STRETCH = "ctid >= format('(%s,0)', $1::bigint)::tid AND ctid < format('(%s,0)', $1::bigint + $2::bigint)::tid"

_UNUSED = {
    "notifications": "read_at < $3",
    "deliveries": "status <> 'pending' AND ended_at < $3",
    "events": """received_at < $3 AND NOT EXISTS (
    SELECT FROM deliveries WHERE deliveries.event_id = events.event_id AND deliveries.source = events.source
  )""",
}

_PRUNE = {
    table: f"""
DELETE FROM {table} WHERE ctid = ANY (ARRAY(
  SELECT ctid FROM {table} WHERE {_STRETCH} AND {condition} FOR UPDATE SKIP LOCKED
))"""  # noqa: S608 - constants only
    for table, condition in _UNUSED.items()
}

_SIZE = "SELECT pg_relation_size($1::regclass) / current_setting('block_size')::bigint"


class PostgresTables:
    """The tables, in stretches of `pages` pages. Rows that somebody else holds are left for the next time."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]", *, pages: int = PAGES) -> None:
        self._pool = pool
        self._pages = pages

    async def prune(self, table: str, start: int, *, limits: Ages) -> tuple[int, int | None]:
        before = {"notifications": limits.read, "deliveries": limits.settled, "events": limits.received}[table]
        async with database.transaction(self._pool) as connection:
            done = await connection.execute(_PRUNE[table], start, self._pages, before)
            size = await connection.fetchval(_SIZE, table)
        following = start + self._pages
        return int(done.removeprefix("DELETE ")), following if following < size else None
