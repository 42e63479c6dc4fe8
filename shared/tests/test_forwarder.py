"""Committed rows are published at least once, in their lanes, and only confirmed ones are deleted."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from prometheus_client import REGISTRY
from spacehub import database, outbox
from spacehub.confirming import Confirm, Outgoing
from spacehub.errors import Away
from spacehub.forwarder import Forwarded, Publishing, forward, forwarding, watching
from spacehub.outbox import Lane, OutboxRow
from spacehub.rabbit import Publisher
from spacehub.running import Task
from spacehub.testing.broker import Broker, headers_of, ids_of
from spacehub.testing.proxy import proxy_to
from spacehub.testing.waiting import eventually

NEVER = 3600.0
"""Seconds between polls that never happen in a test."""


def row(queue: str, message_id: str = "", **more: Any) -> OutboxRow:
    body = more.pop("body", b"{}")
    return OutboxRow(message_id=message_id or uuid4().hex, exchange="", routing_key=queue, body=body, **more)


async def waiting(connection: Any) -> list[str]:
    return [found["message_id"] for found in await connection.fetch("SELECT message_id FROM outbox ORDER BY id")]


async def is_empty(connection: Any) -> bool:
    return not await waiting(connection)


@asynccontextmanager
async def at_work(*tasks: Task) -> AsyncIterator[None]:
    """The long tasks run while the block does, then stop in good order."""
    stopping = asyncio.Event()
    working = [asyncio.ensure_future(task(stopping)) for task in tasks]
    try:
        yield
        stopping.set()
        async with asyncio.timeout(30):
            await asyncio.gather(*working)
    finally:
        for task in working:
            task.cancel()
        await asyncio.gather(*working, return_exceptions=True)


class Recording:
    """A publisher that notes what it published; `then` is called after each publication, before its answer."""

    def __init__(self, publisher: Publisher, *, then: Exception | None = None) -> None:
        self.published: list[str] = []
        self._publisher = publisher
        self._then = then

    async def publish(self, messages: Sequence[Outgoing], *, within: float = 5.0) -> list[Confirm]:
        confirms = await self._publisher.publish(messages, within=within)
        self.published += [message.message_id for message in messages]
        if self._then is not None:
            then, self._then = self._then, None
            raise then
        return confirms


async def test_committed_row_is_published_as_it_was_written_and_deleted(
    broker: Broker, publisher: Publisher, connection: Any
) -> None:
    queue = await broker.plain_queue()
    await outbox.write(connection, [row(queue, "m-1", body=b"\x00\xff", headers={"n": 1}, content_type="text/x")])

    done = await forward(connection, lane="standard", publisher=publisher)

    [message] = await broker.take(queue)
    properties = message.header.properties
    assert done == Forwarded(taken=1, acked=1, returned=0, refused=0)
    assert (message.body, properties.message_id, properties.content_type) == (b"\x00\xff", "m-1", "text/x")
    assert (headers_of(message), properties.delivery_mode) == ({"n": 1}, 2)
    assert await is_empty(connection)


async def test_uncommitted_and_rolled_back_rows_are_never_published(
    broker: Broker, publisher: Publisher, connection: Any, outbox_url: str
) -> None:
    queue, other = await broker.plain_queue(), await database.connect(outbox_url)
    transaction = other.transaction()
    await transaction.start()
    await outbox.write(other, [row(queue)])

    meanwhile = await forward(connection, lane="standard", publisher=publisher)
    await transaction.rollback()
    afterwards = await forward(connection, lane="standard", publisher=publisher)
    await other.close()

    assert meanwhile == afterwards == Forwarded(0, 0, 0, 0)
    assert await broker.count(queue) == 0


async def test_each_row_of_a_batch_ends_as_the_broker_says(
    broker: Broker, publisher: Publisher, connection: Any
) -> None:
    queue = await broker.plain_queue()
    full = await broker.plain_queue(queue_type="classic", max_length=1, overflow="reject-publish")
    await broker.put(full, b"the first")
    rows = [row(queue, "good"), row("no-such-queue", "unroutable"), row(full, "refused"), row(queue, "good too")]
    await outbox.write(connection, rows)

    done = await forward(connection, lane="standard", publisher=publisher)
    again = await forward(connection, lane="standard", publisher=publisher)

    left = await connection.fetch("SELECT message_id, returns, available_at > now() AS pushed_back FROM outbox")
    assert done == Forwarded(taken=4, acked=2, returned=1, refused=1)
    assert again == Forwarded(0, 0, 0, 0)
    assert {tuple(found) for found in left} == {("unroutable", 1, True), ("refused", 0, True)}
    assert ids_of(await broker.take(queue)) == ["good", "good too"]


async def test_unroutable_row_goes_once_its_queue_exists_and_its_time_has_come(
    broker: Broker, publisher: Publisher, connection: Any
) -> None:
    queue = await broker.plain_queue()
    await outbox.write(connection, [row("not-yet-there", "m-1")])
    await forward(connection, lane="standard", publisher=publisher)

    await connection.execute("UPDATE outbox SET routing_key = $1, available_at = now()", queue)
    done = await forward(connection, lane="standard", publisher=publisher)

    assert done.acked == 1
    assert ids_of(await broker.take(queue)) == ["m-1"]


async def test_refused_rows_do_not_stand_in_the_way(broker: Broker, publisher: Publisher, connection: Any) -> None:
    queue = await broker.plain_queue()
    full = await broker.plain_queue(queue_type="classic", max_length=1, overflow="reject-publish")
    await broker.put(full, b"the first")
    await outbox.write(connection, [row(full), row(full), row(queue, "behind them")])

    await forward(connection, lane="standard", publisher=publisher, batch=2)
    await forward(connection, lane="standard", publisher=publisher, batch=2)

    assert ids_of(await broker.take(queue)) == ["behind them"]


async def test_row_of_the_future_waits(broker: Broker, publisher: Publisher, connection: Any) -> None:
    queue = await broker.plain_queue()
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    await outbox.write(connection, [row(queue, "tomorrow", available_at=tomorrow), row(queue, "now")])

    done = await forward(connection, lane="standard", publisher=publisher)

    assert done.taken == 1
    assert await waiting(connection) == ["tomorrow"]


async def test_rows_go_in_the_order_in_which_they_are_due(
    broker: Broker, publisher: Publisher, connection: Any
) -> None:
    queue, now = await broker.plain_queue(), datetime.now(UTC)
    rows = [row(queue, f"{age} h old", available_at=now - timedelta(hours=age)) for age in (1, 3, 2)]
    await outbox.write(connection, rows)

    for _ in rows:
        await forward(connection, lane="standard", publisher=publisher, batch=1)

    assert ids_of(await broker.take(queue)) == ["3 h old", "2 h old", "1 h old"]


@pytest.mark.parametrize("lane", ["critical", "standard"])
async def test_forwarder_takes_only_its_own_lane(
    broker: Broker, publisher: Publisher, connection: Any, lane: Lane
) -> None:
    queue = await broker.plain_queue()
    await outbox.write(connection, [row(queue, name, lane=name) for name in ("critical", "standard")])

    await forward(connection, lane=lane, publisher=publisher)

    assert ids_of(await broker.take(queue)) == [lane]


async def test_odd_sizes_go_through(broker: Broker, publisher: Publisher, connection: Any) -> None:
    queue, bodies = await broker.plain_queue(), [b"", b"x" * 900_000]
    await outbox.write(connection, [row(queue, body=body) for body in bodies])

    await forward(connection, lane="standard", publisher=publisher)

    assert [message.body for message in await broker.take(queue)] == bodies
    assert await is_empty(connection)


async def test_forwarder_that_dies_between_confirm_and_delete_repeats_the_same_id(
    broker: Broker, publisher: Publisher, connection: Any
) -> None:
    queue, dying = await broker.plain_queue(), Recording(publisher, then=ConnectionResetError())
    await outbox.write(connection, [row(queue, "m-1")])

    with pytest.raises(ConnectionResetError):
        await forward(connection, lane="standard", publisher=dying)
    left = await waiting(connection)
    await forward(connection, lane="standard", publisher=publisher)

    assert left == ["m-1"]
    assert ids_of(await broker.take(queue)) == ["m-1", "m-1"]
    assert await is_empty(connection)


async def test_unanswered_rows_stay_and_the_forwarder_pauses(
    broker: Broker, publisher: Publisher, connection: Any
) -> None:
    class Silent:
        async def publish(self, messages: Sequence[Outgoing], *, within: float = 5.0) -> list[Confirm]:
            return [Confirm.ACKED, Confirm.UNCERTAIN]

    await outbox.write(connection, [row("anywhere", "answered"), row("anywhere", "unanswered")])

    with pytest.raises(Away):
        await forward(connection, lane="standard", publisher=Silent())

    [left] = await connection.fetch("SELECT message_id, returns, available_at <= now() AS is_due FROM outbox")
    assert tuple(left) == ("unanswered", 0, True)


async def test_row_in_the_hands_of_one_forwarder_is_passed_over_by_another(
    broker: Broker, publisher: Publisher, connection: Any, outbox_url: str
) -> None:
    queue, other = await broker.plain_queue(), await database.connect(outbox_url)
    await outbox.write(connection, [row(queue, "held"), row(queue, "free")])

    async with other.transaction():
        await other.fetch("SELECT 1 FROM outbox WHERE message_id = 'held' FOR UPDATE")
        done = await forward(connection, lane="standard", publisher=publisher)
    await other.close()

    assert done.acked == 1
    assert await waiting(connection) == ["held"]


async def test_standard_lane_is_polled(broker: Broker, publisher: Publisher, connection: Any, outbox_url: str) -> None:
    queue = await broker.plain_queue()

    async with at_work(forwarding("standard", database_url=outbox_url, publisher=publisher)):
        for number in range(3):
            await outbox.write(connection, [row(queue)])
            await broker.holds(queue, number + 1)

    assert await is_empty(connection)


async def test_critical_lane_is_woken_by_the_commit_and_by_no_poll(
    broker: Broker, publisher: Publisher, connection: Any, outbox_url: str
) -> None:
    queue = await broker.plain_queue()

    async with at_work(forwarding("critical", database_url=outbox_url, publisher=publisher, poll=NEVER)):
        for number in range(5):
            async with connection.transaction():
                await outbox.write(connection, [row(queue, lane="critical")])
            await broker.holds(queue, number + 1)

    assert await is_empty(connection)


async def test_standard_rows_wake_nobody(
    broker: Broker, publisher: Publisher, connection: Any, outbox_url: str
) -> None:
    heard: list[str] = []
    await connection.add_listener(outbox.WAKE_UP, lambda *told: heard.append(str(told[3])))

    other = await database.connect(outbox_url)
    await outbox.write(other, [row("anywhere")])
    await outbox.write(other, [row("anywhere", lane="critical"), row("anywhere")])
    await other.close()
    await eventually(lambda: heard)

    assert heard == [""]


async def test_more_than_one_batch_is_emptied_without_waiting_for_a_poll(
    broker: Broker, publisher: Publisher, connection: Any, outbox_url: str
) -> None:
    queue = await broker.plain_queue()
    await outbox.write(connection, [row(queue) for _ in range(1200)])

    async with at_work(forwarding("standard", database_url=outbox_url, publisher=publisher, poll=NEVER)):
        await eventually(lambda: is_empty(connection))

    assert await broker.count(queue) == 1200


@pytest.mark.parametrize("lane", ["critical", "standard"])
async def test_forwarder_ends_at_once_when_told(outbox_url: str, publisher: Publisher, lane: Lane) -> None:
    async with asyncio.timeout(20):
        async with at_work(forwarding(lane, database_url=outbox_url, publisher=publisher, poll=NEVER)):
            await asyncio.sleep(0)


async def test_broker_that_is_away_costs_nothing_but_time(broker: Broker, connection: Any, outbox_url: str) -> None:
    queue = await broker.plain_queue()

    async with proxy_to(broker.url) as proxy:
        publisher = Publisher(proxy.url, name="test")
        await proxy.shut()
        await outbox.write(connection, [row(queue, "m-1"), row(queue, "m-2", lane="critical")])
        both = [forwarding(lane, database_url=outbox_url, publisher=publisher) for lane in ("critical", "standard")]
        async with at_work(*both):
            still_there = sorted(await waiting(connection))
            await proxy.open()
            await eventually(lambda: is_empty(connection))
            await proxy.cut()
            await outbox.write(connection, [row(queue, "m-3")])
            await eventually(lambda: is_empty(connection))
        await publisher.close()

    assert still_there == ["m-1", "m-2"]
    assert set(ids_of(await broker.take(queue))) == {"m-1", "m-2", "m-3"}


@pytest.mark.parametrize("lane", ["critical", "standard"])
async def test_database_that_is_away_costs_nothing_but_time(
    broker: Broker, publisher: Publisher, connection: Any, outbox_url: str, lane: Lane
) -> None:
    queue = await broker.plain_queue()

    async with proxy_to(outbox_url) as proxy:
        await proxy.shut()
        async with at_work(forwarding(lane, database_url=proxy.url, publisher=publisher)):
            await outbox.write(connection, [row(queue, "m-1", lane=lane)])
            await proxy.open()
            await eventually(lambda: is_empty(connection))
            await proxy.cut()
            await outbox.write(connection, [row(queue, "m-2", lane=lane)])
            await eventually(lambda: is_empty(connection))

    assert set(ids_of(await broker.take(queue))) == {"m-1", "m-2"}


async def test_what_is_due_is_measured(connection: Any, outbox_url: str) -> None:
    def measured(name: str, lane: Lane) -> float:
        return REGISTRY.get_sample_value(name, {"lane": lane}) or 0

    old = datetime.now(UTC) - timedelta(hours=2)
    future = datetime.now(UTC) + timedelta(days=1)
    async with at_work(watching(database_url=outbox_url, every=0.02)):
        await outbox.write(
            connection, [row("q", available_at=old), row("q"), row("q", available_at=future), row("q", lane="critical")]
        )
        await eventually(lambda: measured("spacehub_outbox_due_rows", "standard") == 2)
        await eventually(lambda: measured("spacehub_outbox_due_rows", "critical") == 1)
        oldest = measured("spacehub_outbox_oldest_seconds", "standard")
        await connection.execute("DELETE FROM outbox")
        await eventually(lambda: measured("spacehub_outbox_due_rows", "standard") == 0)
        await eventually(lambda: measured("spacehub_outbox_oldest_seconds", "standard") == 0)

    assert 7200 <= oldest < 7500


def test_publisher_fits_the_port(publisher: Publisher) -> None:
    port: Publishing = publisher

    assert callable(port.publish)
