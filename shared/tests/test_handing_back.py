"""A handler of batches that is done with a part: what is done is acked, what is left moves on."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from aiormq.abc import DeliveredMessage
from spacehub import rabbit
from spacehub.confirming import Outgoing
from spacehub.consuming import letters
from spacehub.consuming.handing_back import HandedBack, Unfinished, handed_back
from spacehub.consuming.settling import read
from spacehub.consuming.subscription import Subscription, consuming
from spacehub.errors import NotNow, PermanentFailure, TemporaryFailure
from spacehub.events.catalogue import DELIVERIES_EXCHANGE
from spacehub.events.envelope import Event, write
from spacehub.events.requests import PushRequested
from spacehub.rabbit import Publisher
from spacehub.testing.broker import lay
from spacehub.testing.waiting import eventually
from spacehub.topology import BY_NAME
from spacehub_dev.provisioning.fresh import Vhost

QUEUE = BY_NAME["push-sender.standard"]


@pytest.fixture
async def publisher(vhost: Vhost) -> AsyncIterator[Publisher]:
    await lay(vhost.amqp_url)
    publisher = Publisher(vhost.amqp_url, name="test")
    yield publisher
    await publisher.close()


def request() -> Event:
    push_id = uuid4()
    push = PushRequested(
        source="/billing",
        source_id="bill-1",
        about="bill.issued",
        critical=False,
        expires_at=datetime.now(UTC) + timedelta(hours=1),
        user_id=UUID(int=1),
        push_id=push_id,
        notification_id=UUID(int=2),
        title="t",
        body="b",
    )
    return Event(id=str(push_id), source="/inbox-api", data=push)


def narrowed(event: Event) -> Event:
    return replace(event, data=event.data.model_copy(update={"only": ("digest",), "sent": 2}))


async def publish(events: Sequence[Event], publisher: Publisher, *, attempts: int = 0) -> None:
    messages = [write(event) for event in events]
    await publisher.publish(
        [
            Outgoing(
                DELIVERIES_EXCHANGE,
                message.routing_key,
                message.body,
                message.id,
                message.content_type,
                {letters.ATTEMPTS: attempts},
            )
            for message in messages
        ]
    )


@asynccontextmanager
async def consumed(subscription: Subscription, vhost: Vhost, publisher: Publisher) -> AsyncIterator[None]:
    stopping = asyncio.Event()
    task = asyncio.ensure_future(consuming(subscription, url=vhost.amqp_url, publisher=publisher)(stopping))
    yield
    stopping.set()
    await task


async def taken(queue: str, vhost: Vhost) -> list[DeliveredMessage]:
    connection = await rabbit.connect(vhost.amqp_url, name="test")
    channel = await (await connection.channel()).get_underlay_channel()
    messages = []
    while (message := await channel.basic_get(queue, no_ack=True)).delivery_tag is not None:
        messages.append(message)
    await rabbit.close(connection)
    return messages


async def test_what_is_done_is_not_handled_again_when_the_rest_of_its_batch_is_handed_back(
    vhost: Vhost, publisher: Publisher
) -> None:
    done, failing, resting = request(), request(), request()
    batches: list[list[Event]] = []

    async def handle(events: Sequence[Event]) -> None:
        batches.append(list(events))
        raise Unfinished(
            [
                HandedBack(event, TemporaryFailure("unavailable") if event.id == failing.id else NotNow("resting"))
                for event in events
                if event.id != done.id
            ]
        )

    await publish([done, failing, resting], publisher)
    async with consumed(Subscription(QUEUE, handle, batch=10), vhost, publisher):
        waiting = await eventually(lambda: taken(QUEUE.tier("5s"), vhost), because="something in the tier")

    waiting += await taken(QUEUE.tier("5s"), vhost)
    assert sorted(event.id for batch in batches for event in batch) == sorted([done.id, failing.id, resting.id])
    assert {message.header.properties.message_id: letters.attempts_of(message) for message in waiting} == {
        failing.id: 1,
        resting.id: 0,
    }
    assert await taken(QUEUE.name, vhost) == []


async def test_what_is_left_of_an_event_waits_in_its_place(vhost: Vhost, publisher: Publisher) -> None:
    event = request()

    async def handle(events: Sequence[Event]) -> None:
        raise Unfinished([HandedBack(event, TemporaryFailure("half"), instead=narrowed(event)) for event in events])

    await publish([event], publisher)
    async with consumed(Subscription(QUEUE, handle, batch=10), vhost, publisher):
        [message] = await eventually(lambda: taken(QUEUE.tier("5s"), vhost), because="something in the tier")

    assert read(message) == narrowed(event)
    assert message.header.properties.message_id == event.id


async def test_used_up_retries_leave_what_is_left_as_the_dead_letter(vhost: Vhost, publisher: Publisher) -> None:
    event = request()
    told: list[tuple[Event, str]] = []

    async def handle(events: Sequence[Event]) -> None:
        raise Unfinished([HandedBack(event, TemporaryFailure("half"), instead=narrowed(event)) for event in events])

    async def exhausted(event: Event, reason: str) -> None:
        told.append((event, reason))

    await publish([event], publisher, attempts=5)
    async with consumed(Subscription(QUEUE, handle, batch=10, exhausted=exhausted), vhost, publisher):
        [letter] = await eventually(lambda: taken(QUEUE.dead, vhost), because="a dead letter")

    assert told == [(narrowed(event), "retries_exhausted: half")]
    assert read(letter) == narrowed(event)
    assert letters.headers_of(letter)[letters.REASON] == "retries_exhausted: half"


def test_a_copy_in_the_same_batch_has_a_fate_of_its_own() -> None:
    event = request()
    copy = replace(event)

    fault = Unfinished([HandedBack(event, PermanentFailure("only the first"))])

    assert handed_back(event, fault) is not None
    assert handed_back(copy, fault) is None
