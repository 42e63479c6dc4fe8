"""What sms-sender listens to: requests for SMS, a queue for each lane, and the facts that decide about them."""

from collections.abc import Awaitable, Callable, Sequence
from enum import StrEnum
from uuid import UUID

from spacehub.consuming.subscription import Subscription, one_by_one
from spacehub.errors import Unreadable
from spacehub.events.envelope import Event
from spacehub.events.requests import SmsEndAsked, SmsRequested
from spacehub.outbox import Lane
from spacehub.topology import BY_NAME


class Queue(StrEnum):
    """The queues by their last word: requests that must not wait, all others, and facts of other domains."""

    CRITICAL = "critical"
    STANDARD = "standard"
    FACTS = "facts"


Deed = Callable[[SmsRequested], Awaitable[None]]


def sms_requests(
    lane: Lane, *, send: Deed, give_up: Deed, tell: Callable[[UUID], Awaitable[None]], workers: int
) -> Subscription:
    """The requests of `lane`, up to `workers` of them sent, or their ends told, at the same time."""

    async def handle(event: Event) -> None:
        if isinstance(event.data, SmsEndAsked):
            await tell(event.data.sms_id)
        else:
            await send(_request_in(event))

    async def exhausted(event: Event, _: str) -> None:
        if not isinstance(event.data, SmsEndAsked):
            await give_up(_request_in(event))

    return Subscription(BY_NAME[f"sms-sender.{lane}"], one_by_one(handle), workers=workers, exhausted=exhausted)


def facts(*, learn: Callable[[Sequence[Event]], Awaitable[None]], batch: int) -> Subscription:
    """What other domains say that closes subjects, opens them again, or sets limits; one batch at a time, in order."""
    return Subscription(BY_NAME["sms-sender.facts"], learn, batch=batch)


def _request_in(event: Event) -> SmsRequested:
    if not isinstance(event.data, SmsRequested):
        raise Unreadable(f"no_such_type: type: {event.data.type} does not belong here")
    return event.data
