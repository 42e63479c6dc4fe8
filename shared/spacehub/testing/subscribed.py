"""A subscription at work for the length of a test."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from spacehub.consuming.settling import Handler
from spacehub.consuming.subscription import Subscription, consuming
from spacehub.events.envelope import Event, write
from spacehub.events.facts import BillCancelled
from spacehub.rabbit import Publisher
from spacehub.testing.broker import Broker
from spacehub.topology import WorkQueue


class Handled:
    """A handler of single events that notes each call and does what `conduct` says for an event's id."""

    def __init__(self, **conduct: Exception | Callable[[], Awaitable[None]]) -> None:
        self.ids: list[str] = []
        self._conduct = conduct

    async def __call__(self, event: Event) -> None:
        self.ids.append(event.id)
        match self._conduct.get(event.id):
            case None:
                return
            case Exception() as fault:
                raise fault
            case conduct:
                await conduct()


@asynccontextmanager
async def at_work(
    queue: WorkQueue, handle: Handler, *, url: str, publisher: Publisher, **options: Any
) -> AsyncIterator[asyncio.Event]:
    """The subscription runs while the block does, then stops in good order; setting the event stops it earlier."""
    stopping = asyncio.Event()
    task = consuming(Subscription(queue, handle, **options), url=url, publisher=publisher)
    working = asyncio.ensure_future(task(stopping))
    try:
        yield stopping
        stopping.set()
        async with asyncio.timeout(30):
            await working
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)


async def put_events(broker: Broker, queue: WorkQueue, *ids: str, **headers: Any) -> None:
    """Put a readable event of each id into `queue`."""
    for number in ids:
        message = write(Event(number, "/billing", BillCancelled(bill_id="A-1")))
        await broker.put(
            queue.name, message.body, message_id=number, content_type=message.content_type, headers=headers
        )
