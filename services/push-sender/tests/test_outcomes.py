"""Telling what happened: nothing counts as told that the broker did not confirm."""

import aio_pika
import pytest
from push_sender.endings import ended
from push_sender.outcomes import MOST, PublishedOutcomes
from push_sender.testing import event_of, push_request
from spacehub.errors import Away
from spacehub.events.catalogue import EVENTS_EXCHANGE
from spacehub.events.envelope import Event, read
from spacehub.rabbit import Publisher
from spacehub_dev.provisioning.fresh import Vhost


def outcome() -> Event:
    push = push_request(sent=1)
    return ended(event_of(push), push, now=push.expires_at)


async def test_outcome_that_nobody_would_get_is_not_told(vhost: Vhost) -> None:
    event = outcome()
    publisher = Publisher(vhost.amqp_url, name="tests")
    async with await aio_pika.connect(vhost.amqp_url) as connection:
        channel = await connection.channel()
        await channel.declare_exchange(EVENTS_EXCHANGE, "topic", durable=True)

        with pytest.raises(Away, match="returned"):
            await PublishedOutcomes(publisher).tell([event])

        ear = await channel.declare_queue(exclusive=True)
        await ear.bind(EVENTS_EXCHANGE, "push.sent")
        await PublishedOutcomes(publisher).tell([event])
        message = await ear.get()
    await publisher.close()

    assert read(message.body, content_type=message.content_type, headers=message.headers) == event
    assert (message.message_id, message.delivery_mode) == (event.id, aio_pika.DeliveryMode.PERSISTENT)


async def test_more_than_one_publish_holds_are_all_told(vhost: Vhost) -> None:
    events = [outcome() for _ in range(MOST + 1)]
    publisher = Publisher(vhost.amqp_url, name="tests")
    async with await aio_pika.connect(vhost.amqp_url) as connection:
        channel = await connection.channel()
        await channel.declare_exchange(EVENTS_EXCHANGE, "topic", durable=True)
        ear = await channel.declare_queue(exclusive=True)
        await ear.bind(EVENTS_EXCHANGE, "push.sent")

        await PublishedOutcomes(publisher).tell(events)
        told = {(await ear.get()).message_id for _ in events}
    await publisher.close()

    assert told == {event.id for event in events}


async def test_broker_that_is_away_is_told_nothing() -> None:
    publisher = Publisher("amqp://127.0.0.1:1/", name="tests")

    with pytest.raises(Away):
        await PublishedOutcomes(publisher).tell([outcome()])
