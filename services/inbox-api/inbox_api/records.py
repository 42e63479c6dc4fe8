"""Records: all that is on record of one delivery, as those who look after the system see it; and what to find it by."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from inbox_api.deliveries import Kept, Status


@dataclass(frozen=True, slots=True)
class Search:
    """What the deliveries looked for have in common: everything that is not None. A phone is looked for by its hash."""

    user_id: UUID | None = None
    phone_hash: bytes | None = None
    event_id: str | None = None
    status: Status | None = None
    delivery_id: UUID | None = None

    @property
    def is_for_all(self) -> bool:
        """Whether nothing is said at all."""
        return self == Search()


@dataclass(frozen=True, slots=True, kw_only=True)
class Record(Kept):
    """One delivery with its traces; of a text nothing is left.

    `received_at` and `occurred_at` are its event's. `attempt_log` and `earlier_ends` are as `tables` tells. `closed_at`
    is the time of the event that closed what it speaks of, also after it was sent, and `closed_by` and
    `closed_by_type` name that event. Of a pending one, `in_outbox` says that its request has not left yet, and
    `look_at` when it is looked at again. `read_at` is when the user read the inbox row.
    """

    message_id: str | None
    segments: int | None
    attempts: int | None
    duration_ms: int | None
    devices_reached: int | None
    devices_dead: int | None
    attempt_log: list[dict[str, Any]]
    handed_on_again: list[datetime]
    earlier_ends: list[dict[str, Any]]
    occurred_at: datetime | None
    received_at: datetime | None
    closed_by: str | None
    closed_by_type: str | None
    closed_at: datetime | None
    in_outbox: bool
    look_at: datetime | None
    read_at: datetime | None


@dataclass(frozen=True, slots=True)
class Page:
    """Records, newest first, and where the next page begins, if there is one."""

    records: list[Record]
    next_cursor: str | None
