"""A broker as tests use it: queues of their own, messages put in and taken out by hand."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import aiormq
import httpx
from aiormq.abc import DeliveredMessage
from pamqp.commands import Basic

from spacehub import rabbit, topology
from spacehub.testing.waiting import eventually
from spacehub.topology import WorkQueue


@dataclass(frozen=True, slots=True)
class Broker:
    """One virtual host, seen through a connection of the test's own."""

    url: str
    management_url: str
    channel: aiormq.Channel

    async def work_queue(self, *keys: str, tiers: Mapping[str, timedelta] = topology.TIERS) -> WorkQueue:
        """A fresh work queue with everything that belongs to it, bound by `keys`."""
        work = WorkQueue(f"test-{uuid4().hex[:8]}.work", keys, tiers=tiers)
        await self.declare(work)
        return work

    async def declare(self, work: WorkQueue) -> None:
        await lay(self.url, [work])

    async def plain_queue(self, **arguments: Any) -> str:
        """A fresh quorum queue; `max_length` stands for `x-max-length`."""
        name = f"test-{uuid4().hex[:8]}"
        named = {f"x-{key.replace('_', '-')}": value for key, value in arguments.items()}
        await self.channel.queue_declare(name, durable=True, arguments={"x-queue-type": "quorum", **named})
        return name

    async def put(self, queue: str, body: bytes, *, properties: Basic.Properties | None = None, **more: Any) -> None:
        """Put a message straight into `queue`; `more` are AMQP properties such as `message_id`."""
        chosen = properties or Basic.Properties(**more)
        confirm = await self.channel.basic_publish(
            body, routing_key=queue, properties=chosen, mandatory=True, timeout=10
        )
        assert isinstance(confirm, Basic.Ack)

    async def count(self, queue: str) -> int:
        """How many messages wait in `queue`, not counting those in somebody's hands."""
        return (await self.channel.queue_declare(queue, passive=True)).message_count or 0

    async def consumers(self, queue: str) -> int:
        """How many consumers `queue` has, those that stand by among them; about a second old."""
        async with httpx.AsyncClient(base_url=self.management_url) as client:
            everyone = (await client.get(f"/api/consumers{urlsplit(self.url).path}")).raise_for_status().json()
        return sum(consumer["queue"]["name"] == queue for consumer in everyone)

    async def holds(self, queue: str, count: int = 1) -> None:
        """Wait until so many messages wait in `queue`."""

        async def it_does() -> bool:
            return await self.count(queue) == count

        await eventually(it_does, because=f"{queue} should hold {count}")

    async def take(self, queue: str) -> list[DeliveredMessage]:
        """Take all messages that wait in `queue` out of it."""
        taken: list[DeliveredMessage] = []

        async def note(message: DeliveredMessage) -> None:
            taken.append(message)

        if waiting := await self.count(queue):
            consumer = await self.channel.basic_consume(queue, note, no_ack=True)
            await eventually(lambda: len(taken) >= waiting)
            await self.channel.basic_cancel(consumer.consumer_tag or "")
        return taken


async def lay(url: str, works: Sequence[WorkQueue] = topology.WORK_QUEUES) -> None:
    """Make every queue there is, or those of `works`, with all that belongs to it, on the broker at `url`."""
    connection = await rabbit.connect(url, name="test: declaring")
    try:
        await topology.declare(connection, works)
    finally:
        await rabbit.close(connection)


def headers_of(message: DeliveredMessage) -> dict[str, Any]:
    """The headers that somebody gave the message, without the broker's count of deliveries."""
    headers = message.header.properties.headers or {}
    return {name: value for name, value in headers.items() if name != "x-delivery-count"}


def ids_of(messages: Sequence[DeliveredMessage]) -> list[str | None]:
    """The AMQP message ids, in order."""
    return [message.header.properties.message_id for message in messages]


@asynccontextmanager
async def broker_at(url: str, management_url: str) -> AsyncIterator[Broker]:
    """The virtual host at `url`."""
    connection = await rabbit.connect(url, name="test")
    channel = await (await connection.channel(publisher_confirms=True)).get_underlay_channel()
    assert isinstance(channel, aiormq.Channel)
    yield Broker(url, management_url, channel)
    await rabbit.close(connection)
