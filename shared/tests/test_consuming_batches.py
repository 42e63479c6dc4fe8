"""Batches and workers: a batch is a way to be fast, and each of its messages still has a fate of its own."""

import asyncio
from collections.abc import Sequence

from spacehub.consuming.subscription import one_by_one
from spacehub.errors import PermanentFailure
from spacehub.events.envelope import Event
from spacehub.rabbit import Publisher
from spacehub.testing.broker import Broker, ids_of
from spacehub.testing.subscribed import at_work, put_events
from spacehub.testing.waiting import eventually


class Batches:
    """A handler that notes its batches; the first, of one event, lasts until the queue is filled."""

    def __init__(self, *poison: str) -> None:
        self.seen: list[list[str]] = []
        self.done: list[str] = []
        self.begun, self.filled = asyncio.Event(), asyncio.Event()
        self._poison = set(poison)

    async def __call__(self, events: Sequence[Event]) -> None:
        self.begun.set()
        await self.filled.wait()
        self.seen.append([event.id for event in events])
        if self._poison & set(self.seen[-1]):
            raise PermanentFailure("poison")
        self.done.extend(self.seen[-1])


async def test_batch_that_works_is_handled_once(broker: Broker, publisher: Publisher) -> None:
    queue, batches, ids = await broker.work_queue(), Batches(), ["e-1", "e-2", "e-3"]

    async with at_work(queue, batches, url=broker.url, publisher=publisher, batch=10):
        await put_events(broker, queue, "first")
        await batches.begun.wait()
        await put_events(broker, queue, *ids)
        await broker.holds(queue.name, 0)
        batches.filled.set()
        await eventually(lambda: len(batches.done) >= 4)

    assert batches.done == ["first", *ids]
    assert len(batches.seen) < 4
    assert await broker.count(queue.name) == 0


async def test_poison_in_a_batch_moves_alone_and_the_others_are_done(broker: Broker, publisher: Publisher) -> None:
    queue, batches = await broker.work_queue(), Batches("poison")
    ids = ["e-1", "e-2", "poison", "e-4", "e-5"]

    async with at_work(queue, batches, url=broker.url, publisher=publisher, batch=10):
        await put_events(broker, queue, "first")
        await batches.begun.wait()
        await put_events(broker, queue, *ids)
        await broker.put(queue.name, b"{", message_id="unreadable")
        await broker.holds(queue.name, 0)
        batches.filled.set()
        await broker.holds(queue.dead, 2)
        await eventually(lambda: len(batches.done) == 5)

    assert ["poison"] in batches.seen
    assert sorted(batches.done) == ["e-1", "e-2", "e-4", "e-5", "first"]
    assert sorted(filter(None, ids_of(await broker.take(queue.dead)))) == ["poison", "unreadable"]
    assert await broker.count(queue.name) == 0


async def test_batch_does_not_wait_to_fill(broker: Broker, publisher: Publisher) -> None:
    queue, batches = await broker.work_queue(), list[int]()

    async def handle(events: Sequence[Event]) -> None:
        batches.append(len(events))

    async with at_work(queue, handle, url=broker.url, publisher=publisher, batch=100):
        await put_events(broker, queue, "e-1")
        await eventually(lambda: batches)

    assert batches == [1]


async def test_workers_handle_at_the_same_time_and_no_more_of_them_than_told(
    broker: Broker, publisher: Publisher
) -> None:
    queue, barrier, at_once, most = await broker.work_queue(), asyncio.Barrier(3), 0, 0

    async def handle(_: Event) -> None:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await barrier.wait()
        at_once -= 1

    await put_events(broker, queue, *(f"e-{number}" for number in range(6)))
    async with at_work(queue, one_by_one(handle), url=broker.url, publisher=publisher, workers=3):
        await broker.holds(queue.name, 0)

    assert most == 3
