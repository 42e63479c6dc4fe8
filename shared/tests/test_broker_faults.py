"""A broker that freezes, raises its memory alarm or is killed: nothing hangs, nothing is lost."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from spacehub import outbox
from spacehub.confirming import Confirm, Outgoing
from spacehub.consuming.subscription import Subscription, consuming, one_by_one
from spacehub.errors import Away
from spacehub.events.envelope import Event, write
from spacehub.events.facts import BillCancelled
from spacehub.forwarder import forwarding
from spacehub.outbox import OutboxRow
from spacehub.rabbit import Publisher
from spacehub.running import DRAIN
from spacehub.testing.broker import Broker, broker_at
from spacehub.testing.subscribed import Handled, at_work, put_events
from spacehub.testing.waiting import eventually
from spacehub.topology import WorkQueue
from spacehub_dev.provisioning.finding import provisioned_rabbitmq
from spacehub_dev.provisioning.rabbitmq import PrivateRabbit


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateRabbit]:
    """A broker that these tests may freeze and kill."""
    directory: Path = tmp_path_factory.mktemp("own-broker")
    with provisioned_rabbitmq(directory, report=print) as server:
        if not isinstance(server, PrivateRabbit):
            pytest.skip("needs a broker that it may freeze and kill")
        yield server


@pytest.fixture
async def own(server: PrivateRabbit) -> AsyncIterator[Broker]:
    async with broker_at(server.url, server.management_url) as hand:
        yield hand


@pytest.fixture
async def own_publisher(server: PrivateRabbit) -> AsyncIterator[Publisher]:
    publisher = Publisher(server.url, name="test publisher")
    yield publisher
    await publisher.close()


def outgoing(queue: str, message_id: str) -> Outgoing:
    return Outgoing(exchange="", routing_key=queue, body=b"{}", message_id=message_id)


def row(queue: WorkQueue, name: str) -> OutboxRow:
    message = write(Event(name, "/billing", BillCancelled(bill_id="A-1")))
    return OutboxRow(message_id=name, exchange="", routing_key=queue.name, body=message.body)


async def test_frozen_broker_is_given_up_and_used_again(
    server: PrivateRabbit, own: Broker, own_publisher: Publisher
) -> None:
    queue = await own.plain_queue()
    await own_publisher.publish([outgoing(queue, "before")])

    server.suspend()
    try:
        async with asyncio.timeout(15):
            silent = await own_publisher.publish([outgoing(queue, "during")], within=0.5)
            with pytest.raises(Away):
                await own_publisher.publish([outgoing(queue, "during")], within=0.5)
    finally:
        server.resume()
    after = await own_publisher.publish([outgoing(queue, "after")], within=20)

    assert (silent, after) == ([Confirm.UNCERTAIN], [Confirm.ACKED])


async def test_processes_end_in_time_although_the_broker_is_frozen(
    server: PrivateRabbit, own: Broker, own_publisher: Publisher, connection: Any, outbox_url: str
) -> None:
    queue, handled, stopping = await own.work_queue(), Handled(), asyncio.Event()
    subscription = Subscription(queue, one_by_one(handled))
    tasks = [
        consuming(subscription, url=server.url, publisher=own_publisher),
        forwarding("standard", database_url=outbox_url, publisher=own_publisher),
    ]
    working = [asyncio.ensure_future(task(stopping)) for task in tasks]
    await outbox.write(connection, [row(queue, "e-1")])
    await eventually(lambda: handled.ids == ["e-1"])

    server.suspend()
    try:
        await outbox.write(connection, [row(queue, "e-2")])
        stopping.set()
        _, late = await asyncio.wait(working, timeout=DRAIN)
    finally:
        server.resume()

    assert not late
    await asyncio.gather(*working)
    assert await connection.fetchval("SELECT count(*) FROM outbox WHERE message_id = 'e-2'") == 1


async def test_memory_alarm_stops_publishing_in_bounded_time_and_not_consuming(
    server: PrivateRabbit, own: Broker, own_publisher: Publisher
) -> None:
    queue, handled = await own.work_queue(), Handled()
    await put_events(own, queue, "e-1")

    await asyncio.to_thread(server.control, "set_vm_memory_high_watermark", "0")
    try:
        async with asyncio.timeout(15):
            blocked = await own_publisher.publish([outgoing(queue.name, "e-2")], within=0.5)
        async with at_work(queue, one_by_one(handled), url=server.url, publisher=own_publisher):
            await eventually(lambda: handled.ids == ["e-1"])
    finally:
        await asyncio.to_thread(server.control, "set_vm_memory_high_watermark", "0.4")
    afterwards = await own_publisher.publish([outgoing(queue.name, "e-3")], within=20)

    assert (blocked, afterwards) == ([Confirm.UNCERTAIN], [Confirm.ACKED])


async def test_killed_broker_comes_back_with_everything(
    server: PrivateRabbit, own: Broker, own_publisher: Publisher, connection: Any, outbox_url: str
) -> None:
    queue, handled = await own.work_queue(), Handled()
    stopping = asyncio.Event()
    forward = forwarding("standard", database_url=outbox_url, publisher=own_publisher)
    await put_events(own, queue, "waited in the queue")

    server.kill()
    await outbox.write(connection, [row(queue, "written meanwhile")])
    forwarder = asyncio.ensure_future(forward(stopping))
    async with at_work(queue, one_by_one(handled), url=server.url, publisher=own_publisher):
        await asyncio.to_thread(server.start)
        await eventually(lambda: set(handled.ids) == {"waited in the queue", "written meanwhile"})
        stopping.set()
        await forwarder

    assert await connection.fetchval("SELECT count(*) FROM outbox") == 0
