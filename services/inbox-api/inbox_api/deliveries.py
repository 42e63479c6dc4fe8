"""Deliveries, one for each event, user and channel, and the inbox rows among them: the records and their ids."""

from collections import Counter as Tally
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import NAMESPACE_URL, UUID, uuid5

from prometheus_client import Counter
from spacehub.events.envelope import Event
from spacehub.events.facts import Channel, Locale

Status = Literal["pending", "sent", "failed", "expired", "blocked", "suppressed", "unknown"]

_BEGUN = Counter("spacehub_inbox_deliveries_begun", "Deliveries that began, by what of and how", ["type", "channel"])
_ENDED = Counter(
    "spacehub_inbox_deliveries_ended",
    "Ends of deliveries on record; one that is corrected later counts again",
    ["channel", "status", "reason"],
)

_NAMESPACE = uuid5(NAMESPACE_URL, "https://spacehub.mn/notify/deliveries")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What is kept of a delivery as long as it is on record, and may be shown to those who look after the system.

    A one-time code has no user. `available_at` is set when quiet hours deferred it. Of a phone the last four digits
    are left.
    """

    id: UUID
    source: str
    event_id: str
    type: str
    channel: Channel
    user_id: UUID | None
    owner_id: UUID | None
    subject: str | None
    critical: bool
    locale: Locale
    phone_last4: str | None
    status: Status
    reason: str | None
    available_at: datetime | None
    expires_at: datetime
    created_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery(Kept):
    """What becomes of one event for one user on one channel. `phone_hash` is what it is found by."""

    phone_hash: bytes | None


@dataclass(frozen=True, slots=True)
class Notification:
    """One row of a user's inbox, before it has its number there; its id is that of its delivery."""

    id: UUID
    user_id: UUID
    type: str
    title: str
    body: str
    link: str | None
    created_at: datetime


def delivery_id(event: Event, user_id: UUID | None, channel: Channel) -> UUID:
    """The same id for every copy of an event, so a repeat collides instead of sending again."""
    return uuid5(_NAMESPACE, "\n".join((event.source, event.id, str(user_id or ""), channel)))


def count_begun(begun: Iterable[Delivery]) -> None:
    """Count deliveries that were committed, with the ends of those that ended as they began."""
    kinds, ends = Tally[tuple[str, str]](), Tally[tuple[str, str, str | None]]()
    for delivery in begun:
        kinds[delivery.type, delivery.channel] += 1
        if delivery.status != "pending":
            ends[delivery.channel, delivery.status, delivery.reason] += 1
    for kind, count in kinds.items():
        _BEGUN.labels(*kind).inc(count)
    count_ended(ends)


def count_ended(ends: "Tally[tuple[str, str, str | None]]") -> None:
    """Count ends that were committed, by channel, status and reason."""
    for (channel, status, reason), count in ends.items():
        _ENDED.labels(channel, status, reason or "").inc(count)
