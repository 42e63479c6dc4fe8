"""Feeds: the rows of one user's inbox as the app reads them, newest first, and how many of them are unread."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple


class Item(NamedTuple):
    """One row; `seq` counts within the feed. A tuple, because it is made from one twenty times a page."""

    seq: int
    id: str
    type: str
    title: str
    body: str
    link: str | None
    created_at: datetime
    read_at: datetime | None


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows and the count of unread ones, both of the same moment."""

    items: Sequence[Item]
    unread: int


@dataclass(frozen=True, slots=True)
class Page:
    """One page; `next_cursor` leads to the next one and is None on the last."""

    items: Sequence[Item]
    next_cursor: str | None
    unread: int
