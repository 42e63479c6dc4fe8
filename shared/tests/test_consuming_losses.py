"""Connections, queues and processes come and go: work in hand is finished, and no message is lost."""

import asyncio
import signal
from datetime import timedelta
from pathlib import Path

import pytest
import structlog
from spacehub.consuming.subscription import one_by_one
from spacehub.errors import TemporaryFailure
from spacehub.events.envelope import Event
from spacehub.rabbit import Publisher
from spacehub.testing.broker import Broker, headers_of, ids_of
from spacehub.testing.programs import program
from spacehub.testing.proxy import proxy_to
from spacehub.testing.subscribed import Handled, at_work, put_events
from spacehub.testing.waiting import eventually

CONSUMER = Path(__file__).parent / "programs" / "consumer.py"


async def test_handler_finishes_although_its_connection_is_lost(broker: Broker, publisher: Publisher) -> None:
    queue, begun, lost, done = await broker.work_queue(), asyncio.Event(), asyncio.Event(), list[str]()

    async def handle(event: Event) -> None:
        begun.set()
        await lost.wait()
        done.append(event.id)

    async with proxy_to(broker.url) as proxy:
        await put_events(broker, queue, "e-1")
        async with at_work(queue, one_by_one(handle), url=proxy.url, publisher=publisher):
            await begun.wait()
            await proxy.cut()
            await broker.holds(queue.name)
            finished_early = list(done)
            lost.set()
            await eventually(lambda: done == ["e-1", "e-1"])

    assert finished_early == []
    assert await broker.count(queue.name) == 0


async def test_failure_after_a_loss_moves_the_message_on_and_loses_nothing(
    broker: Broker, publisher: Publisher
) -> None:
    queue, begun, lost = await broker.work_queue(tiers={"later": timedelta(hours=1)}), asyncio.Event(), asyncio.Event()

    async def handle(_: Event) -> None:
        begun.set()
        await lost.wait()
        raise TemporaryFailure("busy")

    async with proxy_to(broker.url) as proxy:
        await put_events(broker, queue, "e-1")
        async with at_work(queue, one_by_one(handle), url=proxy.url, publisher=publisher):
            await begun.wait()
            await proxy.cut()
            await broker.holds(queue.name)
            lost.set()
            await broker.holds(queue.tier("later"), 2)

    assert set(ids_of(await broker.take(queue.tier("later")))) == {"e-1"}
    assert await broker.count(queue.name) == 0


async def test_subscription_waits_for_a_broker_that_is_away_and_goes_on(broker: Broker, publisher: Publisher) -> None:
    queue, handled = await broker.work_queue(), Handled()

    async with proxy_to(broker.url) as proxy:
        await proxy.shut()
        async with at_work(queue, one_by_one(handled), url=proxy.url, publisher=publisher):
            await put_events(broker, queue, "e-1")
            await proxy.open()
            await eventually(lambda: handled.ids == ["e-1"])
            await proxy.shut()
            await put_events(broker, queue, "e-2")
            await proxy.open()
            await eventually(lambda: "e-2" in handled.ids)

    assert set(handled.ids) == {"e-1", "e-2"}
    assert await broker.count(queue.name) == 0


async def test_deleted_queue_is_consumed_again_when_it_is_back(broker: Broker, publisher: Publisher) -> None:
    queue, handled = await broker.work_queue(), Handled()

    with structlog.testing.capture_logs() as logs:
        async with at_work(queue, one_by_one(handled), url=broker.url, publisher=publisher):
            await put_events(broker, queue, "e-1")
            await eventually(lambda: handled.ids == ["e-1"])
            await broker.channel.queue_delete(queue.name)
            await eventually(lambda: [line for line in logs if line["event"] == "subscription_lost"])
            await broker.declare(queue)
            await put_events(broker, queue, "e-2")
            await eventually(lambda: handled.ids == ["e-1", "e-2"])

    assert await broker.count(queue.name) == 0


async def test_what_is_in_hand_is_finished_at_the_end_and_the_rest_goes_back_unharmed(
    broker: Broker, publisher: Publisher
) -> None:
    queue, begun, finish = await broker.work_queue(), asyncio.Event(), asyncio.Event()
    handled: list[str] = []

    async def handle(event: Event) -> None:
        begun.set()
        await finish.wait()
        handled.append(event.id)

    async with at_work(queue, one_by_one(handle), url=broker.url, publisher=publisher, batch=3) as stopping:
        await put_events(broker, queue, "e-1")
        await begun.wait()
        await put_events(broker, queue, "e-2", "e-3", colour="blue")
        await broker.holds(queue.name, 0)
        stopping.set()
        await broker.holds(queue.name, 0)  # a round trip: by its end no more is taken
        finish.set()

    await broker.holds(queue.name, 2)
    back = await broker.take(queue.name)
    assert handled == ["e-1"]
    assert ids_of(back) == ["e-2", "e-3"]
    assert [headers_of(message) for message in back] == [{"colour": "blue"}] * 2


async def test_handler_finishes_although_the_connection_is_lost_at_the_very_end(
    broker: Broker, publisher: Publisher
) -> None:
    queue, begun, finish, done = await broker.work_queue(), asyncio.Event(), asyncio.Event(), list[str]()

    async def handle(event: Event) -> None:
        begun.set()
        await finish.wait()
        done.append(event.id)

    async with proxy_to(broker.url) as proxy:
        await put_events(broker, queue, "e-1")
        async with at_work(queue, one_by_one(handle), url=proxy.url, publisher=publisher) as stopping:
            await begun.wait()
            proxy.freeze()
            stopping.set()
            await broker.holds(queue.name, 0)  # a round trip: by its end we have asked the broker to stop
            await proxy.cut()
            await broker.holds(queue.name)
            finish.set()

    assert done == ["e-1"]


async def test_terminated_process_finishes_what_it_has_in_hand(broker: Broker, tmp_path: Path) -> None:
    queue, gate = await broker.work_queue(), tmp_path / "gate"
    await put_events(broker, queue, "e-1")

    async with program(CONSUMER, broker.url, queue.name, str(gate), "20") as process:
        await process.says("begun e-1")
        await put_events(broker, queue, "e-2", "e-3")
        await broker.holds(queue.name, 0)
        process.signal(signal.SIGTERM)
        await process.says("stopping")
        gate.touch()
        code = await process.ends()

    assert code == 0
    assert [line for line in process.lines if line.startswith(("begun", "done"))] == ["begun e-1", "done e-1"]
    await broker.holds(queue.name, 2)
    back = await broker.take(queue.name)
    assert ids_of(back) == ["e-2", "e-3"]
    assert [headers_of(message) for message in back] == [{}, {}]


async def test_process_that_cannot_finish_in_time_ends_and_its_message_goes_back(
    broker: Broker, tmp_path: Path
) -> None:
    queue = await broker.work_queue()
    await put_events(broker, queue, "e-1")

    async with program(CONSUMER, broker.url, queue.name, str(tmp_path / "never"), "0.1") as process:
        await process.says("begun e-1")
        process.signal(signal.SIGTERM)
        code = await process.ends()

    assert code == 0
    assert "done e-1" not in process.lines
    await broker.holds(queue.name, 1)
    assert ids_of(await broker.take(queue.name)) == ["e-1"]


@pytest.mark.parametrize("batch", [1, 5])
async def test_killed_process_loses_nothing(broker: Broker, tmp_path: Path, batch: int) -> None:
    queue = await broker.work_queue()
    ids = [f"e-{number}" for number in range(batch)]
    await put_events(broker, queue, *ids)

    async with program(CONSUMER, broker.url, queue.name, str(tmp_path / "never"), "20") as process:
        await process.says("begun e-0")
        await process.kill()
        await broker.holds(queue.name, batch)

    assert ids_of(await broker.take(queue.name)) == ids
