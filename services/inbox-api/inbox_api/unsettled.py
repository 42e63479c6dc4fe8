"""Unsettled deliveries: those that were handed on and have no end yet, and when to look at them again."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID, uuid5

from spacehub.events import facts
from spacehub.events.envelope import Event
from spacehub.events.requests import SmsEndAsked

from inbox_api.deliveries import Delivery
from inbox_api.drafts import SOURCE
from inbox_api.ends import End

LONGEST = timedelta(hours=1)
"""Between two looks at the same delivery."""


@dataclass(frozen=True, slots=True)
class Unsettled:
    """A delivery that was handed on and has no end at the time of a look.

    `sealed` is the request for its sender, None where nothing is kept; `waits` says that it still lies in the outbox.
    """

    id: UUID
    channel: str
    critical: bool
    subject: str | None
    user_id: UUID | None
    expires_at: datetime
    sealed: bytes | None
    looked: int
    waits: bool


@dataclass(slots=True)
class Findings:
    """What a look changes. `forward` are requests to hand on again, `look_again` says when and after how many looks.

    The look is `at` this moment.
    """

    at: datetime
    forward: list[tuple[Unsettled, Event]] = field(default_factory=list)
    look_again: dict[UUID, tuple[datetime, int]] = field(default_factory=dict)
    ends: list[End] = field(default_factory=list)


def is_kept(delivery: Delivery) -> bool:
    """Whether its request may be kept, sealed: a one-time code never is."""
    return delivery.type != facts.OtpRequested.type


def first_look(delivery: Delivery, *, after: timedelta) -> datetime:
    """`after` it was due."""
    return (delivery.available_at or delivery.created_at) + after


def next_look(delivery: Unsettled, *, now: datetime, after: timedelta) -> datetime:
    """Twice as long as the time before, up to an hour, but not past the expiry: then the sender can say `expired`.

    `after` that the delivery is given up.
    """
    if now >= delivery.expires_at:
        return now + after
    wait = after
    for _ in range(delivery.looked + 1):
        if wait >= LONGEST:
            break
        wait = min(wait * 2, LONGEST)
    return min(now + wait, delivery.expires_at)


def asking_for_the_end(delivery: Unsettled) -> Event:
    """What its sender is asked when its request is not kept. It has an id of its own: it is not the request."""
    asked = SmsEndAsked(sms_id=delivery.id, critical=delivery.critical)
    return Event(id=str(uuid5(delivery.id, SmsEndAsked.type)), source=SOURCE, data=asked)
