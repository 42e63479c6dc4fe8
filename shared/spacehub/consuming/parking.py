"""The parker: gives letters that the broker itself gave up on our headers, and moves them to the dead letters.

A message that was delivered 20 times without an ack (its consumers died each time) is dead-lettered by the broker,
without a word of ours.
"""

import asyncio

import structlog
from aiormq.abc import DeliveredMessage

from spacehub.consuming import letters
from spacehub.consuming.session import Session
from spacehub.consuming.settling import count_fate, publish
from spacehub.errors import Away
from spacehub.rabbit import Publisher
from spacehub.running import Backoff, Task
from spacehub.secret import Secret
from spacehub.topology import WorkQueue

log = structlog.get_logger()

_PREFETCH = 20


def parking(queue: WorkQueue, *, url: Secret, publisher: Publisher) -> Task:
    """A long task that empties the parking queue of `queue` into its dead letters."""

    async def park(stopping: asyncio.Event) -> None:
        backoff = Backoff()

        async def move_all(session: Session) -> None:
            while messages := await session.take(1):
                [message] = messages
                reason = f"given_up_by_the_broker: {_cause(message)}"
                attempts = max(1, letters.attempts_of(message))
                letter = letters.to_dead(message, queue=queue, attempts=attempts, reason=reason)
                await publish(letter, publisher=publisher)
                backoff.reset()
                log.warning("dead_letter", queue=queue.name, id=message.header.properties.message_id, reason=reason)
                await session.ack(message)
                count_fate(queue, "given_up")

        while not stopping.is_set():
            try:
                async with Session(queue.parking, url=url, prefetch=_PREFETCH) as session:
                    await session.run([move_all(session)], stopping=stopping)
            except Away as away:
                log.warning("parking_lost", queue=queue.name, reason=str(away))
                await backoff.wait(stopping)

    return park


def _cause(message: DeliveredMessage) -> str:
    """The broker's own word for it, e.g. `delivery_limit`."""
    deaths = letters.headers_of(message).get("x-death")
    match deaths:
        case [{"reason": reason}, *_]:
            return str(reason)
        case _:
            return "no reason given"
