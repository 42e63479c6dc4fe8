"""The feeds in PostgreSQL. Whoever changes rows locks the feed first, so its count is right whatever meets."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from spacehub import database

from inbox_api.feeds import Item, Rows

_COLUMNS = "seq, id::text, type, title, body, link, created_at, read_at"

_ROWS = f"""
SELECT rows.*, unread FROM feeds LEFT JOIN LATERAL (
  SELECT {_COLUMNS} FROM notifications
  WHERE notifications.user_id = feeds.user_id AND seq < $2 ORDER BY seq DESC LIMIT $3
) AS rows ON true
WHERE feeds.user_id = $1"""  # noqa: S608 - constants only

_NEWER = f"""
SELECT {_COLUMNS} FROM notifications WHERE user_id = $1 AND seq > $2 ORDER BY seq LIMIT $3"""  # noqa: S608

_UNREAD = "SELECT unread FROM feeds WHERE user_id = $1"

_LAST = "SELECT user_id, last_seq FROM feeds WHERE user_id = ANY($1::uuid[])"

_READ = """
WITH feed AS MATERIALIZED (
  SELECT user_id FROM feeds WHERE user_id = $1 FOR UPDATE
), marked AS (
  UPDATE notifications SET read_at = $3 FROM feed
  WHERE id = $2 AND notifications.user_id = feed.user_id AND read_at IS NULL
  RETURNING id
), counted AS (
  UPDATE feeds SET unread = unread - 1 FROM marked WHERE feeds.user_id = $1
)
SELECT EXISTS (SELECT FROM notifications WHERE id = $2 AND user_id = $1)"""

_LOCK = "SELECT unread FROM feeds WHERE user_id = $1 FOR UPDATE"

_READ_ALL = """
WITH marked AS (
  UPDATE notifications SET read_at = $2
  WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM notifications WHERE user_id = $1 AND read_at IS NULL ORDER BY seq DESC LIMIT $3
  ))
  RETURNING id
), counted AS (
  SELECT count(*)::integer AS marked FROM marked
)
UPDATE feeds SET unread = unread - marked FROM counted WHERE user_id = $1 RETURNING marked"""

_FROM_THE_TOP = 2**63 - 1


class PostgresFeeds:
    """Every feed there is. Raises Away while the database cannot be reached."""

    def __init__(self, pool: database.Lender) -> None:
        self._pool = pool

    async def rows(self, user_id: UUID, *, before: int | None, most: int) -> Rows:
        async with database.reading(self._pool) as connection:
            found = await connection.fetch(_ROWS, user_id, _FROM_THE_TOP if before is None else before, most)
        if not found:
            return Rows((), 0)
        items = [Item._make(row[:-1]) for row in found if row[0] is not None]
        return Rows(items, found[0]["unread"])

    async def newer(self, user_id: UUID, *, than: int, most: int) -> list[Item]:
        """The oldest rows numbered above `than`, oldest first: all that are missing up to the last of them."""
        async with database.reading(self._pool) as connection:
            return [Item(*row) for row in await connection.fetch(_NEWER, user_id, than, most)]

    async def last(self, users: Sequence[UUID]) -> dict[UUID, int]:
        """The number of the newest row in each of these users' feeds; nothing of those who have no feed."""
        async with database.reading(self._pool) as connection:
            return {row["user_id"]: row["last_seq"] for row in await connection.fetch(_LAST, users)}

    async def unread(self, user_id: UUID) -> int:
        async with database.reading(self._pool) as connection:
            return await connection.fetchval(_UNREAD, user_id) or 0

    async def mark_read(self, user_id: UUID, notification: UUID, *, at: datetime) -> bool:
        async with database.reading(self._pool) as connection:
            return bool(await connection.fetchval(_READ, user_id, notification, at))

    async def mark_all_read(self, user_id: UUID, *, at: datetime) -> int:
        async with database.transaction(self._pool) as connection:
            unread = await connection.fetchval(_LOCK, user_id)
            if not unread:
                return 0
            # The unread rows are mostly the newest: once so many of them are found the search ends.
            return int(await connection.fetchval(_READ_ALL, user_id, at, unread))
