"""Making a queue anew with the arguments it should have: what waits and what comes meanwhile rests in a stand-in.

Everything is in one of both at any moment. Killed half-way, it is run again, and goes on where it was; a message may
then come twice, which the consumers' ledgers make harmless.
"""

import asyncio
from contextlib import suppress

import aiormq
from aiormq.abc import DeliveredMessage

from spacehub import looking, topology
from spacehub.confirming import Confirm
from spacehub.consuming import letters
from spacehub.errors import Away
from spacehub.rabbit import Publisher
from spacehub.topology import Queue

AT_ONCE = 200
"""Messages in hand."""

PASSES = 5
"""Each leaves what came during the one before."""

QUIET = 0.2
"""Seconds without a message after which a queue is looked at: it may be empty."""


class NotYet(Exception):
    """It can't be replaced now. The text says what has to happen first; nothing is lost, and it may be run again."""


async def replace(url: str, name: str) -> int:
    """Make the queue `name` anew if its arguments are not those of `topology`; how many messages were moved to it.

    `url` is an administrator's. Its consumers must have stopped. Messages keep their order, but for those that come
    while publishing is switched over. Raises NotYet, and Away while the broker cannot be reached.
    """
    queue, feeds = _queue(name), [(exchange, key) for exchange, at, key in topology.bindings() if at == name]
    stand_in = Queue(f"{name}.stand-in", {"x-delivery-limit": topology.LOOKED_AT_OFTEN})
    publisher = Publisher(url, name=f"replace {name}")
    try:
        if not await _is_as_it_should_be(url, queue):
            async with looking.channel(url, name="replace") as hand:
                await _stopped(hand, name)
                await _declare(hand, stand_in)
                await _move_most(hand, name, stand_in.name, publisher)
                await _bind(hand, stand_in.name, feeds)
                await _unbind(hand, name, feeds)
                await _move(hand, name, stand_in.name, publisher)
                await _stopped(hand, name)
                await hand.queue_delete(name)
            if not await _is_as_it_should_be(url, queue):
                raise NotYet(f"{name} was made again as it was: stop the older `topology keep`")
        async with looking.channel(url, name="replace") as hand:
            await _declare(hand, stand_in)  # a run that was killed left it, with what it holds
            moved = await _move_most(hand, stand_in.name, name, publisher)
            await _bind(hand, name, feeds)
            await _unbind(hand, stand_in.name, feeds)
            moved += await _move(hand, stand_in.name, name, publisher)
            await hand.queue_delete(stand_in.name)
            return moved
    finally:
        await publisher.close()


def _queue(name: str) -> Queue:
    for queue in topology.queues():
        if queue.name == name:
            return queue
    raise NotYet(f"no queue of ours is called {name}")


async def _is_as_it_should_be(url: str, queue: Queue) -> bool:
    """Whether it is; one that is missing is made, and bound to nothing yet."""
    try:
        async with looking.channel(url, name="replace") as hand:
            await _declare(hand, queue)
    except Away as away:
        if isinstance(away.__cause__, aiormq.exceptions.ChannelPreconditionFailed):
            return False
        raise
    return True


async def _declare(hand: aiormq.Channel, queue: Queue) -> None:
    await hand.queue_declare(queue.name, durable=True, arguments={"x-queue-type": "quorum", **queue.arguments})


async def _stopped(hand: aiormq.Channel, name: str) -> None:
    """Raises NotYet while somebody consumes, or something may still come back from a retry tier."""
    for work in (work for work in topology.WORK_QUEUES if name == work.name or name.startswith(f"{work.name}.")):
        for consumed in (work.name, work.parking):
            if (await hand.queue_declare(consumed, passive=True)).consumer_count:
                raise NotYet(f"{consumed} has consumers: stop them first")
        for tier in map(work.tier, work.tiers) if name == work.name else ():
            if waiting := await looking.count(hand, tier):
                raise NotYet(f"{waiting} wait in {tier}: they come back by themselves, run it again then")


async def _bind(hand: aiormq.Channel, name: str, feeds: list[tuple[str, str]]) -> None:
    for exchange, key in feeds:
        await hand.queue_bind(name, exchange, routing_key=key)


async def _unbind(hand: aiormq.Channel, name: str, feeds: list[tuple[str, str]]) -> None:
    for exchange, key in feeds:
        await hand.queue_unbind(name, exchange, routing_key=key)


async def _move(hand: aiormq.Channel, source: str, target: str, publisher: Publisher) -> int:
    """Move everything until `source` is empty, which it will be once nothing is published to it."""
    moved = 0
    while await looking.count(hand, source):
        moved += await _move_what_waits(hand, source, target, publisher)
    return moved


async def _move_most(hand: aiormq.Channel, source: str, target: str, publisher: Publisher) -> int:
    """Move what waits while more may come, until little is left: that little comes out of order after the switch."""
    moved = 0
    for _ in range(PASSES):
        if await looking.count(hand, source) <= AT_ONCE:
            break
        moved += await _move_what_waits(hand, source, target, publisher)
    return moved


async def _move_what_waits(hand: aiormq.Channel, source: str, target: str, publisher: Publisher) -> int:
    """By consuming, since a queue with a single active consumer answers no get."""
    moved, waiting, arrived = 0, await looking.count(hand, source), asyncio.Queue[DeliveredMessage]()
    await hand.basic_qos(prefetch_count=AT_ONCE)
    consumer = (await hand.basic_consume(source, arrived.put)).consumer_tag or ""
    while moved < waiting and (batch := await _next(arrived)):
        moved += await _hand_on(hand, batch, target, publisher)
    await hand.basic_cancel(consumer)
    while batch := await _next(arrived):
        moved += await _hand_on(hand, batch, target, publisher)
    return moved


async def _next(arrived: asyncio.Queue[DeliveredMessage]) -> list[DeliveredMessage]:
    """What has arrived, with nothing after a quiet moment."""
    batch: list[DeliveredMessage] = []
    with suppress(TimeoutError):
        async with asyncio.timeout(QUIET):
            batch.append(await arrived.get())
    while not arrived.empty():
        batch.append(arrived.get_nowait())
    return batch


async def _hand_on(hand: aiormq.Channel, batch: list[DeliveredMessage], target: str, publisher: Publisher) -> int:
    confirms = await publisher.publish([letters.moved(message, to=target) for message in batch])
    if set(confirms) != {Confirm.ACKED}:
        raise Away("rabbitmq: it did not confirm what was moved; nothing was taken away")
    for message in batch:
        await hand.basic_ack(message.delivery_tag or 0)
    return len(batch)
