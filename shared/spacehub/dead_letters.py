"""Looking into a dead-letter queue, and sending its letters back or away.

A letter leaves the queue only after the broker has confirmed its copy, so a redrive that dies half-way may repeat a
letter, which the consumers' ledgers make harmless, and loses none.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import aiormq
from aiormq.abc import DeliveredMessage

from spacehub import rabbit
from spacehub.consuming import letters
from spacehub.consuming.settling import publish, read
from spacehub.errors import Away, Unreadable
from spacehub.events.facts import OtpRequested
from spacehub.masking import masked, printable
from spacehub.rabbit import Publisher
from spacehub.topology import BY_NAME, WORK_QUEUES, WorkQueue

_PATIENCE = 10.0
"""Seconds for one answer of the broker."""


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
class Redriven:
    """What a redrive did: letters sent back, and those refused because their time has passed."""

    sent: int
    expired: int


def work_queue(name: str) -> WorkQueue:
    """The queue called `name`, with or without `.dead`. Raises NoSuchQueue."""
    try:
        return BY_NAME[name.removesuffix(".dead")]
    except KeyError:
        raise NoSuchQueue(name) from None


async def counts(url: str) -> dict[str, int]:
    """How many letters each dead-letter queue holds, by the queue's name."""
    async with _channel(url) as channel:
        found = {}
        for queue in WORK_QUEUES:
            answer = await channel.queue_declare(queue.dead, passive=True)
            found[queue.dead] = answer.message_count or 0
        return found


async def show(url: str, queue: WorkQueue, *, limit: int) -> list[Letter]:
    """The first `limit` letters; they stay where they are."""
    async with _channel(url) as channel:
        return [_letter(message) async for message in _taken(channel, queue, limit)]


async def redrive(url: str, queue: WorkQueue, *, limit: int | None = None, per_second: float = 50.0) -> Redriven:
    """Send up to `limit` letters back to the queue they died in, as new and no faster than `per_second`.

    What has expired stays.
    """
    publisher = Publisher(url, name=f"redrive {queue.name}")
    sent = expired = 0
    try:
        async with _channel(url) as channel:
            async for message in _taken(channel, queue, None):
                if sent == limit:
                    break
                if _has_expired(message, now=datetime.now(UTC)):
                    expired += 1
                    continue
                await publish(letters.as_new(message, queue=queue), publisher=publisher)
                await channel.basic_ack(message.delivery_tag or 0)
                sent += 1
                await asyncio.sleep(1 / per_second)
    finally:
        await publisher.close()
    return Redriven(sent=sent, expired=expired)


async def discard(url: str, queue: WorkQueue) -> int:
    """Delete the letters that are there now; how many."""
    async with _channel(url) as channel:
        gone = 0
        async for message in _taken(channel, queue, None):
            await channel.basic_ack(message.delivery_tag or 0)
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


def _has_expired(message: DeliveredMessage, *, now: datetime) -> bool:
    """Whether the time of a message has passed, where it says so itself."""
    try:
        event = read(message)
    except Unreadable:
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


async def _taken(channel: aiormq.Channel, queue: WorkQueue, limit: int | None) -> AsyncIterator[DeliveredMessage]:
    """Letters one after the other, each at most once; those not acked return when the channel closes."""
    answer = await channel.queue_declare(queue.dead, passive=True)
    for _ in range(min(answer.message_count or 0, limit if limit is not None else 1 << 62)):
        message = await channel.basic_get(queue.dead, timeout=_PATIENCE)
        if message.delivery_tag is None:
            return
        yield message


@asynccontextmanager
async def _channel(url: str) -> AsyncIterator[aiormq.Channel]:
    connection = await rabbit.connect(url, name="dead letters")
    try:
        channel = await connection.channel(publisher_confirms=False)
        underlay = await channel.get_underlay_channel()
        assert isinstance(underlay, aiormq.Channel)
        yield underlay
    except aiormq.exceptions.ChannelNotFoundEntity as missing:
        raise Away("rabbitmq: the dead-letter queue does not exist") from missing
    except (OSError, aiormq.exceptions.AMQPError, aiormq.exceptions.ChannelInvalidStateError) as fault:
        raise Away(f"rabbitmq: {type(fault).__name__}") from fault
    finally:
        await rabbit.close(connection)
