"""Looking into a dead-letter queue, and sending its letters back or away.

A letter leaves the queue only after the broker has confirmed its copy, so a redrive that dies half-way may repeat a
letter, which the consumers' ledgers make harmless, and loses none.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from aiormq.abc import DeliveredMessage

from spacehub.consuming import letters
from spacehub.consuming.settling import publish, read
from spacehub.errors import Unreadable
from spacehub.events.envelope import Event
from spacehub.events.facts import OtpRequested
from spacehub.looking import channel, count, taken
from spacehub.masking import masked, printable
from spacehub.rabbit import Publisher
from spacehub.topology import BY_NAME, WORK_QUEUES, WorkQueue

LOOKED_INTO = 1_000
"""Letters of a queue whose reasons are counted; each is a question to the broker."""

Closed = Callable[[Event], Awaitable[bool]]
"""Whether what a request speaks of was closed since: paid, cancelled, ended, its user deleted. Raises Away."""


class NoSuchQueue(Exception):
    """No work queue of ours has this name, with or without `.dead`."""


@dataclass(frozen=True, slots=True)
class Letter:
    """One dead letter, with the secrets in its body masked."""

    id: str
    reason: str
    attempts: int
    failed_at: str
    origin: str
    body: str


@dataclass(frozen=True, slots=True)
class Tally:
    """How many letters a queue holds, and how many of the first `LOOKED_INTO` have which reason."""

    letters: int
    reasons: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Redriven:
    """What a redrive did: letters sent back, and those refused because their time has passed or they were withdrawn."""

    sent: int
    expired: int
    withdrawn: int = 0


def work_queue(name: str) -> WorkQueue:
    """The queue called `name`, with or without `.dead`. Raises NoSuchQueue."""
    try:
        return BY_NAME[name.removesuffix(".dead")]
    except KeyError:
        raise NoSuchQueue(name) from None


async def counts(url: str) -> dict[str, int]:
    """How many letters each dead-letter queue holds, by the queue's name."""
    async with channel(url) as found:
        return {queue.dead: await count(found, queue.dead) for queue in WORK_QUEUES}


async def tallies(url: str) -> dict[str, Tally]:
    """What each dead-letter queue holds and why, by the queue's name."""
    tallied = {}
    async with channel(url) as found:
        for queue in WORK_QUEUES:
            letters_there = await count(found, queue.dead)
            looked_into = [_letter(message) async for message in taken(found, queue.dead, LOOKED_INTO)]
            tallied[queue.dead] = Tally(letters_there, Counter(letter.reason for letter in looked_into))
    return tallied


async def show(url: str, queue: WorkQueue, *, limit: int) -> list[Letter]:
    """The first `limit` letters; they stay where they are, and in their order."""
    async with channel(url) as found:
        # What is returned goes before what was never taken, but after what was returned earlier: so all are taken.
        looked_into = [_letter(message) async for message in taken(found, queue.dead, max(limit, LOOKED_INTO))]
    return looked_into[:limit]


async def redrive(
    url: str,
    queue: WorkQueue,
    *,
    limit: int | None = None,
    per_second: float = 50.0,
    dry: bool = False,
    closed: Closed | None = None,
) -> Redriven:
    """Send up to `limit` letters back to the queue they died in, as new and no faster than `per_second`.

    What has expired stays, and so does a request of which `closed` says that it was withdrawn. A `dry` one tells what
    it would do, and moves nothing.
    """
    publisher = Publisher(url, name=f"redrive {queue.name}")
    sent = expired = withdrawn = 0
    try:
        async with channel(url) as found:
            async for message in taken(found, queue.dead, None):
                if sent == limit:
                    break
                event = _event_in(message)
                if _has_expired(event, message, now=datetime.now(UTC)):
                    expired += 1
                elif closed is not None and event is not None and await closed(event):
                    withdrawn += 1
                else:
                    sent += 1
                    if not dry:
                        await publish(letters.as_new(message, queue=queue), publisher=publisher)
                        await found.basic_ack(message.delivery_tag or 0)
                        await asyncio.sleep(1 / per_second)
    finally:
        await publisher.close()
    return Redriven(sent=sent, expired=expired, withdrawn=withdrawn)


async def discard(url: str, queue: WorkQueue) -> int:
    """Delete the letters that are there now; how many."""
    async with channel(url) as found:
        gone = 0
        async for message in taken(found, queue.dead, None):
            await found.basic_ack(message.delivery_tag or 0)
            gone += 1
        return gone


def _letter(message: DeliveredMessage) -> Letter:
    headers = letters.headers_of(message)
    return Letter(
        id=printable(message.header.properties.message_id),
        reason=printable(headers.get(letters.REASON)),
        attempts=letters.attempts_of(message),
        failed_at=printable(headers.get(letters.FAILED_AT)),
        origin=printable(headers.get(letters.ORIGIN)),
        body=masked(message.body),
    )


def _event_in(message: DeliveredMessage) -> Event | None:
    try:
        return read(message)
    except Unreadable:
        return None


def _has_expired(event: Event | None, message: DeliveredMessage, *, now: datetime) -> bool:
    """Whether the time of a message has passed, where it says so itself."""
    if event is None:
        return False
    if isinstance(event.data, OtpRequested):
        asked = event.time or _failed_at(message)  # without a time: it was asked for before it failed
        return asked is not None and asked <= now - timedelta(seconds=event.data.expires_in)
    end = getattr(event.data, "expires_at", None)
    return isinstance(end, datetime) and end <= now


def _failed_at(message: DeliveredMessage) -> datetime | None:
    try:
        moment = datetime.fromisoformat(str(letters.headers_of(message).get(letters.FAILED_AT)))
    except ValueError:
        return None
    return moment if moment.tzinfo else None
