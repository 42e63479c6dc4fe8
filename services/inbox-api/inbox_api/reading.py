"""Reading: a user's feed page by page, and marking what was read."""

from collections.abc import Callable
from datetime import datetime
from typing import Protocol
from uuid import UUID

from inbox_api import positions
from inbox_api.feeds import Page, Rows


class Feeds(Protocol):
    """The feeds in the service's database. Raises Away while it cannot be reached."""

    async def rows(self, user_id: UUID, *, before: int | None, most: int) -> Rows:
        """The newest rows of the user's feed, or of those numbered below `before`, newest first."""

    async def unread(self, user_id: UUID) -> int: ...

    async def mark_read(self, user_id: UUID, notification: UUID, *, at: datetime) -> bool:
        """Note that the row was read, unless it is noted already; False when the user has no such row."""

    async def mark_all_read(self, user_id: UUID, *, at: datetime) -> int:
        """Note that every row was read; how many were unread."""


async def page(user_id: UUID, *, cursor: str | None, limit: int, feeds: Feeds) -> Page:
    """A page of up to `limit` rows, the newest or those after `cursor`. Raises NotAPosition.

    New rows have higher numbers than any page reaches, so pages neither repeat nor skip a row while they arrive.
    """
    before = positions.read(cursor, of=user_id) if cursor else None
    found = await feeds.rows(user_id, before=before, most=limit + 1)
    items = found.items[:limit]
    more = len(found.items) > limit
    return Page(items, positions.written(items[-1].seq, of=user_id) if more else None, found.unread)


class NoSuchNotification(Exception):
    """The caller has no notification of this id."""


async def read(user_id: UUID, notification: UUID, *, feeds: Feeds, clock: Callable[[], datetime]) -> None:
    """Note that the user read one row; once noted, the time stays. Raises NoSuchNotification."""
    if not await feeds.mark_read(user_id, notification, at=clock()):
        raise NoSuchNotification


async def read_all(user_id: UUID, *, feeds: Feeds, clock: Callable[[], datetime]) -> int:
    """Note that the user read everything there is; how many rows were unread."""
    return await feeds.mark_all_read(user_id, at=clock())
