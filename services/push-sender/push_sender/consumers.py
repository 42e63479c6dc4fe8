"""What push-sender listens to: requests for pushes, a queue for each lane."""

from collections.abc import Sequence
from dataclasses import replace

from spacehub.consuming.handing_back import HandedBack, Unfinished
from spacehub.consuming.subscription import Subscription
from spacehub.errors import Unreadable
from spacehub.events.envelope import Event
from spacehub.events.requests import PushRequested
from spacehub.outbox import Lane
from spacehub.topology import BY_NAME

from push_sender.endings import Ending
from push_sender.pushing import Pushing


def push_requests(lane: Lane, pushing: Pushing, *, batch: int, workers: int) -> Subscription:
    """The requests of `lane`: `workers` batches at a time, of up to `batch` pushes each."""

    async def handle(events: Sequence[Event]) -> None:
        requests = {event.data: event for event in events if isinstance(event.data, PushRequested)}
        endings = await pushing.push(requests)
        back = [back for event in events if (back := _handed_back(event, endings)) is not None]
        if back:
            raise Unfinished(back)

    async def exhausted(event: Event, _: str) -> None:
        if isinstance(event.data, PushRequested):
            await pushing.give_up(event.data, event)

    return Subscription(BY_NAME[f"push-sender.{lane}"], handle, batch=batch, workers=workers, exhausted=exhausted)


def _handed_back(event: Event, endings: dict[PushRequested, Ending]) -> HandedBack | None:
    if not isinstance(event.data, PushRequested):
        return HandedBack(event, Unreadable(f"no_such_type: type: {event.data.type} does not belong here"))
    ending = endings[event.data]
    if ending.again is None:
        return None
    return HandedBack(event, ending.again, instead=replace(event, data=ending.left) if ending.left else None)
