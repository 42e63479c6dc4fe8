"""What the broker gave up on by itself becomes a dead letter like any other: with our headers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from pamqp.commands import Basic
from spacehub import rabbit
from spacehub.consuming.parking import parking
from spacehub.consuming.subscription import Subscription, one_by_one, tasks
from spacehub.rabbit import Publisher
from spacehub.testing.broker import Broker, headers_of, ids_of
from spacehub.testing.proxy import proxy_to
from spacehub.testing.subscribed import Handled, put_events
from spacehub.testing.waiting import eventually
from spacehub.topology import DELIVERY_LIMIT, WorkQueue


@asynccontextmanager
async def parker(queue: WorkQueue, url: str, publisher: Publisher) -> AsyncIterator[None]:
    stopping = asyncio.Event()
    working = asyncio.ensure_future(parking(queue, url=url, publisher=publisher)(stopping))
    yield
    stopping.set()
    async with asyncio.timeout(30):
        await working


async def reject_all(broker: Broker, queue: str) -> None:
    while (message := await broker.channel.basic_get(queue)).delivery_tag is not None:
        await broker.channel.basic_reject(message.delivery_tag, requeue=False)


async def die_with(broker: Broker, queue: str) -> None:
    """Take a message in hand and lose the connection."""
    connection = await rabbit.connect(broker.url, name="dying")
    channel = await (await connection.channel()).get_underlay_channel()
    assert (await channel.basic_get(queue)).delivery_tag is not None
    await rabbit.close(connection)


async def test_rejected_message_becomes_a_dead_letter_with_all_headers(broker: Broker, publisher: Publisher) -> None:
    queue = await broker.work_queue()
    await put_events(broker, queue, "e-1", **{"x-attempts": 3, "colour": "blue"})
    [untouched] = await broker.take(queue.name)
    await put_events(broker, queue, "e-1", **{"x-attempts": 3, "colour": "blue"})

    async with parker(queue, broker.url, publisher):
        await reject_all(broker, queue.name)
        await broker.holds(queue.dead)

    [letter] = await broker.take(queue.dead)
    told = headers_of(letter)
    failed_at = datetime.fromisoformat(str(told.pop("x-failed-at")))
    assert abs(datetime.now(UTC) - failed_at) < timedelta(minutes=5)
    assert told == {
        "x-reason": "given_up_by_the_broker: rejected",
        "x-attempts": 3,
        "x-origin-queue": queue.name,
        "colour": "blue",
    }
    assert letter.body == untouched.body
    assert letter.header.properties.message_id == "e-1"
    assert await broker.count(queue.parking) == 0


async def test_message_that_kills_its_consumers_becomes_a_dead_letter(broker: Broker, publisher: Publisher) -> None:
    queue = await broker.work_queue()
    await put_events(broker, queue, "e-1")

    async with parker(queue, broker.url, publisher):
        for _ in range(DELIVERY_LIMIT + 1):
            await broker.holds(queue.name)
            await die_with(broker, queue.name)
        await broker.holds(queue.dead)

    [letter] = await broker.take(queue.dead)
    assert headers_of(letter)["x-reason"] == "given_up_by_the_broker: delivery_limit"
    assert headers_of(letter)["x-attempts"] == 1
    assert headers_of(letter)["x-origin-queue"] == queue.name


async def test_message_whose_own_time_ran_out_is_not_lost(broker: Broker, publisher: Publisher) -> None:
    queue = await broker.work_queue()
    await broker.put(queue.name, b"{}", properties=Basic.Properties(message_id="e-1", expiration="1"))

    async with parker(queue, broker.url, publisher):
        await broker.holds(queue.dead)

    [letter] = await broker.take(queue.dead)
    assert headers_of(letter)["x-reason"] == "given_up_by_the_broker: expired"


async def test_parker_waits_for_the_dead_letter_queue(broker: Broker, publisher: Publisher) -> None:
    queue = await broker.work_queue()
    await put_events(broker, queue, "e-1", "e-2")
    await broker.channel.queue_delete(queue.dead)

    async with parker(queue, broker.url, publisher):
        await reject_all(broker, queue.name)
        await broker.declare(queue)
        await broker.holds(queue.dead, 2)

    assert sorted(filter(None, ids_of(await broker.take(queue.dead)))) == ["e-1", "e-2"]


async def test_parker_comes_back_after_a_loss(broker: Broker, publisher: Publisher) -> None:
    queue, ids, found = await broker.work_queue(), ["e-0", "e-1", "e-2"], set[str | None]()

    async def arrived(name: str) -> bool:
        found.update(ids_of(await broker.take(queue.dead)))
        return name in found

    async with proxy_to(broker.url) as proxy, parker(queue, proxy.url, publisher):
        for name in ids:
            await put_events(broker, queue, name)
            await reject_all(broker, queue.name)
            await eventually(partial(arrived, name))
            await proxy.cut()

    assert found == set(ids)


@pytest.mark.parametrize("verb", ["consume", "park"])
async def test_every_subscription_has_its_parker(broker: Broker, publisher: Publisher, verb: str) -> None:
    queue = await broker.work_queue()

    named = tasks([Subscription(queue, one_by_one(Handled()))], url=broker.url, publisher=publisher)

    assert f"{verb} {queue.name}" in named
