"""Subscriptions: messages of one queue brought to a handler that knows no AMQP, and acked when it returns."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

import structlog

from spacehub.consuming.parking import parking
from spacehub.consuming.session import Session
from spacehub.consuming.settling import HOLD, Exhausted, GivenBack, Handler, settle
from spacehub.errors import Away
from spacehub.events.envelope import Event
from spacehub.rabbit import Publisher
from spacehub.running import Backoff, Task
from spacehub.secret import Secret
from spacehub.topology import WorkQueue

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Subscription:
    """One queue and its handler.

    `workers` handlers run at the same time, each with up to `batch` messages, whatever is there: a batch never waits
    to fill. A batch that fails is tried again one message at a time. `exhausted` is told of an event whose retries
    are used up, before it becomes a dead letter. What the handler needs may be away for `hold`; then messages wait in
    a tier.
    """

    queue: WorkQueue
    handle: Handler
    batch: int = 1
    workers: int = 1
    exhausted: Exhausted | None = None
    hold: timedelta = HOLD

    @property
    def prefetch(self) -> int:
        """Unacked messages at once: a second batch is at hand while one is handled."""
        return self.workers if self.batch == 1 else 2 * self.batch * self.workers


def one_by_one(handle: Callable[[Event], Awaitable[None]]) -> Handler:
    """A handler of single events as a handler of batches."""

    async def handle_each(events: Sequence[Event]) -> None:
        for event in events:
            await handle(event)

    return handle_each


def consuming(subscription: Subscription, *, url: Secret, publisher: Publisher) -> Task:
    """A long task that consumes `subscription`, connecting again whenever the connection or the queue is lost."""

    async def consume(stopping: asyncio.Event) -> None:
        backoff = Backoff()
        while not stopping.is_set():
            try:
                async with Session(subscription.queue.name, url=url, prefetch=subscription.prefetch) as session:
                    backoff.reset()
                    worker = partial(_work, subscription, session, publisher, stopping)
                    await session.run([worker() for _ in range(subscription.workers)], stopping=stopping)
            except Away as away:
                log.warning("subscription_lost", queue=subscription.queue.name, reason=str(away))
                await backoff.wait(stopping)

    return consume


async def _work(subscription: Subscription, session: Session, publisher: Publisher, stopping: asyncio.Event) -> None:
    try:
        while messages := await session.take(subscription.batch):
            await settle(
                messages,
                queue=subscription.queue,
                handle=subscription.handle,
                exhausted=subscription.exhausted,
                session=session,
                publisher=publisher,
                stopping=stopping,
                hold=subscription.hold,
            )
    except GivenBack:
        return


def tasks(subscriptions: Sequence[Subscription], *, url: Secret, publisher: Publisher) -> dict[str, Task]:
    """The long tasks of a consuming process: each subscription, and the parker of its queue."""
    return {
        f"{verb} {subscription.queue.name}": task
        for subscription in subscriptions
        for verb, task in (
            ("consume", consuming(subscription, url=url, publisher=publisher)),
            ("park", parking(subscription.queue, url=url, publisher=publisher)),
        )
    }
