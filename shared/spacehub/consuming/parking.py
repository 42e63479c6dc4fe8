"""The parker: gives letters that the broker itself gave up on our headers, and moves them to the dead letters.

A message that was delivered 20 times without an ack (its consumers died each time) is dead-lettered by the broker,
without a word of ours.
"""

import asyncio

import structlog
from aiormq.abc import DeliveredMessage

from spacehub.consuming import letters
from spacehub.consuming.session import Session
from spacehub.consuming.settling import publish
from spacehub.errors import Away
from spacehub.rabbit import Publisher
from spacehub.running import Backoff, Task
from spacehub.topology import WorkQueue

log = structlog.get_logger()

_PREFETCH = 20


def parking(queue: WorkQueue, *, url: str, publisher: Publisher) -> Task:
    """A long task that empties the parking queue of `queue` into its dead letters."""

    async def park(stopping: asyncio.Event) -> None:
        backoff = Backoff()
        while not stopping.is_set():
            try:
                async with Session(queue.parking, url=url, prefetch=_PREFETCH) as session:
                    backoff.reset()
                    await _park(queue, session, publisher, stopping)
            except Away as away:
                log.warning("parking_lost", queue=queue.name, reason=str(away))
                await backoff.wait(stopping)

    return park


async def _park(queue: WorkQueue, session: Session, publisher: Publisher, stopping: asyncio.Event) -> None:
    ending = [asyncio.create_task(stopping.wait()), asyncio.create_task(session.lost())]
    for task in ending:
        task.add_done_callback(lambda _: asyncio.ensure_future(session.stop_delivery()))
    try:
        while messages := await session.take(1):
            [message] = messages
            reason = f"given_up_by_the_broker: {_cause(message)}"
            attempts = max(1, letters.attempts_of(message))
            await publish(letters.to_dead(message, queue=queue, attempts=attempts, reason=reason), publisher=publisher)
            log.warning("dead_letter", queue=queue.name, id=message.header.properties.message_id, reason=reason)
            await session.ack(message)
        if session.is_lost:
            raise Away("rabbitmq: the broker no longer delivers")
    finally:
        for task in ending:
            task.cancel()


def _cause(message: DeliveredMessage) -> str:
    """The broker's own word for it, e.g. `delivery_limit`."""
    deaths = letters.headers_of(message).get("x-death")
    match deaths:
        case [{"reason": reason}, *_]:
            return str(reason)
        case _:
            return "no reason given"
