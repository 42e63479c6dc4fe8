"""A queue gets other arguments, and nothing that waits in it or comes meanwhile is lost."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiormq.abc import DeliveredMessage
from pamqp.common import FieldTable
from spacehub import topology
from spacehub.cli.main import app
from spacehub.confirming import Confirm, Outgoing
from spacehub.events.catalogue import EVENTS_EXCHANGE
from spacehub.rabbit import Publisher
from spacehub.replacing import NotYet, replace
from spacehub.testing.broker import Broker, headers_of, ids_of, lay
from spacehub.testing.waiting import eventually
from spacehub.topology import OtherArguments
from typer.testing import CliRunner

NAME = "inbox-api.standard"
STAND_IN = f"{NAME}.stand-in"
WRONG: FieldTable = {"x-queue-type": "quorum", "x-delivery-limit": 20}
"""Without its single active consumer, and without what becomes of letters that the broker gives up on."""
AS_STAND_IN: FieldTable = {"x-queue-type": "quorum", "x-delivery-limit": topology.LOOKED_AT_OFTEN}


@pytest.fixture
async def older(broker: Broker) -> Broker:
    """A broker on which everything is as it should be, but for one queue, which is of an older version of ours."""
    for name in (NAME, STAND_IN):
        await broker.channel.queue_delete(name)
    await lay(broker.url)
    await broker.channel.queue_delete(NAME)
    await broker.channel.queue_declare(NAME, durable=True, arguments=WRONG)
    for exchange, queue, key in topology.bindings():
        if queue == NAME:
            await broker.channel.queue_bind(NAME, exchange, routing_key=key)
    with pytest.raises(OtherArguments):
        await lay(broker.url)
    return broker


@pytest.fixture
async def said(older: Broker, publisher: Publisher) -> AsyncIterator[list[str]]:
    """The ids of events that another domain publishes without a pause, as the broker confirms them."""
    confirmed: list[str] = []
    stopping = asyncio.Event()

    async def speak() -> None:
        number = 0
        while not stopping.is_set():
            number += 1
            [confirm] = await publisher.publish([event(str(number))])
            assert confirm is Confirm.ACKED
            confirmed.append(str(number))

    speaking = asyncio.ensure_future(speak())
    await eventually(lambda: len(confirmed) > 50)
    yield confirmed
    stopping.set()
    await speaking


@asynccontextmanager
async def publisher_to(broker: Broker) -> AsyncIterator[Publisher]:
    publisher = Publisher(broker.url, name="test: backlog")
    yield publisher
    await publisher.close()


def event(number: str) -> Outgoing:
    return Outgoing(EVENTS_EXCHANGE, "contract.expiring", b"{}", message_id=number, headers={"x-attempts": 2})


async def test_nothing_that_waits_or_comes_meanwhile_is_lost(older: Broker, said: list[str]) -> None:
    await replace(older.url, NAME)
    heard_of = len(said)
    await eventually(lambda: len(said) > heard_of + 50)

    confirmed = set(said)
    waiting = set(ids_of(await older.take(NAME)))
    assert confirmed - waiting == set()
    await lay(older.url)  # it is as it should be


async def test_messages_keep_their_order_and_what_they_carry(older: Broker, publisher: Publisher) -> None:
    numbers = [str(number) for number in range(500)]
    await publisher.publish([event(number) for number in numbers])

    moved = await replace(older.url, NAME)

    messages = await older.take(NAME)
    assert moved == 500
    assert ids_of(messages) == numbers
    assert headers_of(messages[0]) == {"x-attempts": 2}
    assert messages[0].body == b"{}"


async def test_the_stand_in_is_gone_and_gets_nothing_any_more(older: Broker, publisher: Publisher) -> None:
    await replace(older.url, NAME)

    await publisher.publish([event("1")])
    await older.channel.queue_declare(STAND_IN, durable=True, arguments=WRONG)

    assert await older.count(STAND_IN) == 0
    assert ids_of(await older.take(NAME)) == ["1"]


@pytest.mark.parametrize("half_way", ["while the stand-in fills", "while the stand-in empties"])
async def test_killed_half_way_it_goes_on_where_it_was(older: Broker, said: list[str], half_way: str) -> None:
    backlog = [f"waiting {number}" for number in range(1_000)]
    async with publisher_to(older) as another:
        await another.publish([event(number) for number in backlog], within=30)
    await older.channel.queue_declare(STAND_IN, durable=True, arguments=AS_STAND_IN)
    most = 0

    async def is_half_way() -> bool:
        nonlocal most
        most = max(most, now := await older.count(STAND_IN))
        return now > 0 if half_way == "while the stand-in fills" else most >= 1_000 and now < most - 100

    replacing = asyncio.ensure_future(replace(older.url, NAME))
    await eventually(is_half_way, within=60)
    replacing.cancel()
    await asyncio.wait({replacing})
    was_killed = replacing.cancelled()
    await replace(older.url, NAME)

    confirmed = {*said, *backlog}
    assert was_killed
    assert confirmed - set(ids_of(await older.take(NAME))) == set()


async def test_as_long_as_somebody_consumes_it_is_left_alone(older: Broker) -> None:
    await older.put(NAME, b"{}")

    async def keep(_: DeliveredMessage) -> None: ...

    consumer = await older.channel.basic_consume(NAME, keep)
    with pytest.raises(NotYet, match=r"inbox-api\.standard has consumers"):
        await replace(older.url, NAME)
    await older.channel.basic_cancel(consumer.consumer_tag or "")

    await older.channel.queue_declare(STAND_IN, durable=True, arguments=WRONG)  # there is none


async def test_what_waits_in_a_tier_comes_back_first(older: Broker) -> None:
    await older.put(f"{NAME}.retry.1h", b"{}")

    with pytest.raises(NotYet, match=r"1 wait in inbox-api\.standard\.retry\.1h"):
        await replace(older.url, NAME)

    assert len(await older.take(f"{NAME}.retry.1h")) == 1


async def test_dead_letters_are_moved_too(older: Broker) -> None:
    name = f"{NAME}.dead"
    await older.channel.queue_delete(name)
    await older.channel.queue_declare(name, durable=True, arguments=WRONG)
    await older.put(name, b"{}", message_id="dead")

    await replace(older.url, name)

    assert ids_of(await older.take(name)) == ["dead"]


async def test_queue_that_is_as_it_should_be_stays_as_it_is(older: Broker) -> None:
    await older.put("sms-sender.facts", b"{}", message_id="m-1")

    assert await replace(older.url, "sms-sender.facts") == 0

    assert ids_of(await older.take("sms-sender.facts")) == ["m-1"]


async def test_the_command_says_what_it_did_or_why_not(older: Broker) -> None:
    await older.put(NAME, b"{}")

    unknown = await asyncio.to_thread(
        CliRunner().invoke, app, ["topology", "replace", "bills", "--amqp-url", older.url]
    )
    done = await asyncio.to_thread(CliRunner().invoke, app, ["topology", "replace", NAME, "--amqp-url", older.url])

    assert (unknown.exit_code, done.exit_code) == (1, 0)
    assert "no queue of ours is called bills" in unknown.output
    assert "inbox-api.standard is as it should be; 1 messages were moved" in done.output
