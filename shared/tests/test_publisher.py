"""The publisher's answer for each message is what the broker did with it."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from spacehub.confirming import Confirm, Outgoing
from spacehub.errors import Away
from spacehub.rabbit import Publisher
from spacehub.testing.broker import Broker
from spacehub.testing.proxy import Proxy, proxy_to
from spacehub.testing.waiting import eventually


def outgoing(queue: str, *, message_id: str = "m-1", body: bytes = b"{}", **more: Any) -> Outgoing:
    return Outgoing(exchange="", routing_key=queue, body=body, message_id=message_id, **more)


async def full_queue(broker: Broker) -> str:
    """A queue that refuses everything: it is full with one message."""
    queue = await broker.plain_queue(queue_type="classic", max_length=1, overflow="reject-publish")
    await broker.put(queue, b"the first")
    return queue


async def test_published_message_arrives_as_it_was_given(broker: Broker, publisher: Publisher) -> None:
    queue = await broker.plain_queue()
    sent_at = datetime(2026, 11, 23, 1, tzinfo=UTC)

    confirms = await publisher.publish(
        [
            outgoing(
                queue,
                message_id="m-1",
                body="Сайн уу".encode(),
                content_type="text/plain",
                headers={"x-attempts": 3, "colour": "blue"},
                properties={"correlation_id": "c-1", "timestamp": sent_at},
            )
        ]
    )

    [message] = await broker.take(queue)
    properties = message.header.properties
    assert confirms == [Confirm.ACKED]
    assert message.body.decode() == "Сайн уу"
    assert (properties.message_id, properties.content_type, properties.delivery_mode) == ("m-1", "text/plain", 2)
    assert properties.headers is not None
    assert {"x-attempts": 3, "colour": "blue"}.items() <= properties.headers.items()
    assert (properties.correlation_id, properties.timestamp) == ("c-1", sent_at)


@pytest.mark.parametrize("size", [0, 1, 131_064, 900_000], ids=lambda size: f"{size} bytes")
async def test_odd_sizes_arrive_whole(broker: Broker, publisher: Publisher, size: int) -> None:
    queue = await broker.plain_queue()

    confirms = await publisher.publish([outgoing(queue, body=b"x" * size)], within=20)

    [message] = await broker.take(queue)
    assert confirms == [Confirm.ACKED]
    assert message.body == b"x" * size


async def test_each_message_of_a_batch_gets_its_own_answer(broker: Broker, publisher: Publisher) -> None:
    queue, full = await broker.plain_queue(), await full_queue(broker)
    unwritable = outgoing(queue, message_id="x" * 256)
    batch = [
        outgoing(queue, message_id="m-1"),
        outgoing("no-such-queue", message_id="m-2"),
        outgoing(full, message_id="m-3"),
        unwritable,
        outgoing(queue, message_id="m-5"),
        outgoing(queue, message_id="m-6", headers={"unwritable": 1e300}),
        outgoing(queue, message_id="m-7"),
    ]

    confirms = await publisher.publish(batch)

    acked, returned, refused = Confirm.ACKED, Confirm.RETURNED, Confirm.REFUSED
    assert confirms == [acked, returned, refused, refused, acked, refused, acked]
    assert [message.header.properties.message_id for message in await broker.take(queue)] == ["m-1", "m-5", "m-7"]


async def test_every_answer_finds_its_message_among_a_thousand(broker: Broker, publisher: Publisher) -> None:
    queue = await broker.plain_queue()
    lost = set(range(0, 1000, 7))
    targets = ["no-such-queue" if number in lost else queue for number in range(1000)]

    confirms = await publisher.publish(
        [outgoing(target, message_id=f"m-{number}") for number, target in enumerate(targets)], within=60
    )

    assert {number for number, confirm in enumerate(confirms) if confirm is Confirm.RETURNED} == lost
    assert confirms.count(Confirm.ACKED) == await broker.count(queue) == 1000 - len(lost)


async def test_copies_that_no_queue_takes_are_all_returned(publisher: Publisher) -> None:
    confirms = await publisher.publish([outgoing("no-such-queue", message_id="same")] * 3)

    assert confirms == [Confirm.RETURNED] * 3


@pytest.mark.parametrize("lost_one", [0, 1, 2])
async def test_messages_of_one_id_are_told_apart(broker: Broker, publisher: Publisher, lost_one: int) -> None:
    queue = await broker.plain_queue()
    targets = ["no-such-queue" if number == lost_one else queue for number in range(3)]

    confirms = await publisher.publish([outgoing(target, message_id="same") for target in targets])

    assert [number for number, confirm in enumerate(confirms) if confirm is Confirm.RETURNED] == [lost_one]
    assert await broker.count(queue) == confirms.count(Confirm.ACKED) == 2


async def test_messages_without_an_id_are_published_too(broker: Broker, publisher: Publisher) -> None:
    queue = await broker.plain_queue()

    confirms = await publisher.publish([outgoing(queue, message_id=""), outgoing(queue, message_id="")])

    assert confirms == [Confirm.ACKED, Confirm.ACKED]


async def test_nothing_to_publish_needs_no_broker() -> None:
    nowhere = Publisher("amqp://nobody:nothing@127.0.0.1:1/", name="test")

    assert await nowhere.publish([]) == []


async def test_many_tasks_share_one_publisher_and_one_connection(broker: Broker) -> None:
    queue = await broker.plain_queue()

    async with proxy_to(broker.url) as proxy:
        publisher = Publisher(proxy.url, name="test publisher")
        batches = [[outgoing(queue, message_id=f"{task}-{number}") for number in range(50)] for task in range(10)]
        answers = await asyncio.gather(*(publisher.publish(batch, within=30) for batch in batches))
        await publisher.close()

    assert {confirm for confirms in answers for confirm in confirms} == {Confirm.ACKED}
    assert await broker.count(queue) == 500
    assert proxy.connections == 1


async def test_broker_that_refuses_connections_is_away() -> None:
    nowhere = Publisher("amqp://nobody:nothing@127.0.0.1:1/", name="test")

    with pytest.raises(Away):
        await nowhere.publish([outgoing("anywhere")])
    assert not await nowhere.answers()


async def test_wrong_password_counts_as_away_and_is_not_told(broker: Broker) -> None:
    user, _, place = broker.url.partition("@")
    intruder = Publisher(f"{user.rpartition(':')[0]}:s3cret@{place}", name="test")

    with pytest.raises(Away) as away:
        await intruder.publish([outgoing("anywhere")])
    assert "s3cret" not in str(away.value)


async def test_publisher_connects_again_after_a_cut(broker: Broker) -> None:
    queue = await broker.plain_queue()

    async with proxy_to(broker.url) as proxy:
        publisher = Publisher(proxy.url, name="test publisher")
        await publisher.publish([outgoing(queue, message_id="before")])
        await proxy.cut()
        await eventually(lambda: _published(publisher, outgoing(queue, message_id="after")))
        answers = await publisher.answers()
        await publisher.close()

    assert answers
    assert {message.header.properties.message_id for message in await broker.take(queue)} == {"before", "after"}


async def test_silence_of_the_network_is_given_up_after_the_deadline_and_told_as_uncertain(broker: Broker) -> None:
    queue = await broker.plain_queue()

    async with proxy_to(broker.url) as proxy:
        publisher = await _connected(proxy, queue)
        proxy.block()
        async with asyncio.timeout(10):
            confirms = await publisher.publish([outgoing(queue)] * 3, within=0.2)
        proxy.unblock()
        await eventually(lambda: _published(publisher, outgoing(queue)))
        await publisher.close()

    assert confirms == [Confirm.UNCERTAIN] * 3


async def test_lost_connection_ends_the_waiting_long_before_the_deadline(broker: Broker) -> None:
    queue = await broker.plain_queue()

    async with proxy_to(broker.url) as proxy:
        publisher = await _connected(proxy, queue)
        proxy.block()
        publishing = asyncio.create_task(publisher.publish([outgoing(queue)] * 3, within=600))
        await asyncio.sleep(0)
        await proxy.cut()
        async with asyncio.timeout(60):
            confirms = await publishing
        await publisher.close()

    assert confirms == [Confirm.UNCERTAIN] * 3


async def test_deadline_includes_the_time_to_connect(broker: Broker) -> None:
    async with proxy_to(broker.url) as proxy:
        proxy.block()
        publisher = Publisher(proxy.url, name="test publisher")
        async with asyncio.timeout(4):
            with pytest.raises(Away):
                await publisher.publish([outgoing("anywhere")], within=0.2)


async def test_one_that_gives_up_does_not_take_the_new_connection_of_the_others(broker: Broker) -> None:
    queue = await broker.plain_queue()

    async with proxy_to(broker.url) as proxy:
        publisher = await _connected(proxy, queue)
        proxy.freeze()
        patient = asyncio.create_task(publisher.publish([outgoing(queue, message_id="patient")], within=1))
        hasty = asyncio.create_task(publisher.publish([outgoing(queue, message_id="hasty")], within=0.1))
        await eventually(lambda: _published(publisher, outgoing(queue, message_id="later")))
        still_waiting = not patient.done()
        confirms = await asyncio.gather(hasty, patient)
        last = await publisher.publish([outgoing(queue, message_id="last")])
        await publisher.close()

    assert still_waiting
    assert list(confirms) == [[Confirm.UNCERTAIN], [Confirm.UNCERTAIN]]
    assert last == [Confirm.ACKED]
    assert proxy.connections == 2


async def test_cancelled_publish_stays_cancelled(broker: Broker) -> None:
    queue = await broker.plain_queue()

    async with proxy_to(broker.url) as proxy:
        publisher = await _connected(proxy, queue)
        proxy.block()
        publishing = asyncio.create_task(publisher.publish([outgoing(queue)], within=60))
        await asyncio.sleep(0)
        publishing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await publishing
        proxy.unblock()
        await publisher.close()


async def _connected(proxy: Proxy, queue: str) -> Publisher:
    publisher = Publisher(proxy.url, name="test publisher")
    assert await publisher.publish([outgoing(queue, message_id="first")], within=10) == [Confirm.ACKED]
    return publisher


async def _published(publisher: Publisher, message: Outgoing) -> bool:
    try:
        return await publisher.publish([message], within=0.5) == [Confirm.ACKED]
    except Away:
        return False
