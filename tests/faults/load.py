"""The load of an experiment: codes and bills from another domain, published until the broker has confirmed each."""

import asyncio
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from random import Random
from types import TracebackType
from typing import Any, Literal, Self
from uuid import UUID

import aio_pika
import aiormq
from aio_pika.abc import AbstractConnection

Kind = Literal["otp.requested", "bill.issued"]

ANSWER = 5.0
"""Seconds to wait for a confirm before the event is published again under the same id."""
AT_ONCE = 20

for library in ("aio_pika", "aiormq"):
    logging.getLogger(library).setLevel(logging.CRITICAL)  # a broker that is away is no news here

_numbers = count(1)
"""One for each event of the whole run: its code, its amount and its phone are made of it, so its text is unique."""


@dataclass(frozen=True)
class Load:
    """So many events, mixed by `seed`, `per_second` of them."""

    otps: int = 60
    bills: int = 120
    per_second: float = 40.0
    seed: int = 1

    @property
    def size(self) -> int:
        return self.otps + self.bills

    def __str__(self) -> str:
        return f"{self.otps} OTPs, {self.bills} bills, {self.per_second:g}/s"


@dataclass(frozen=True, slots=True)
class Offered:
    """One event; `number` is what its text is recognised by at the carrier."""

    id: str
    kind: Kind
    number: int
    body: bytes


@dataclass
class Offering:
    """What a client offered under the source `source`, and when the broker confirmed it."""

    source: str
    events: dict[str, Offered] = field(default_factory=dict)
    confirmed: dict[str, datetime] = field(default_factory=dict)
    repeated: int = 0
    """Events that were published more than once, because no confirm came."""

    def made(self, load: Load) -> Iterator[Offered]:
        """The events of `load`, in the order its seed gives."""
        chance = Random(load.seed)
        kinds: list[Kind] = ["otp.requested" for _ in range(load.otps)]
        kinds += ["bill.issued" for _ in range(load.bills)]
        chance.shuffle(kinds)
        for kind in kinds:
            yield self._made(kind, next(_numbers), chance)

    def bills(self, total: int, *, seed: int = 1) -> list[Offered]:
        """So many bills, for those who publish them in a way of their own."""
        return list(self.made(Load(otps=0, bills=total, seed=seed)))

    def _made(self, kind: Kind, number: int, chance: Random) -> Offered:
        now = datetime.now(UTC)
        phone = str(99_000_000 + number)
        data: dict[str, Any] = {"phone": phone, "code": str(10_000_000 + number)}
        if kind == "bill.issued":
            person = str(UUID(int=chance.getrandbits(128), version=4))
            data = {
                "bill_id": f"{self.source.rsplit('/')[-1]}-{number}"[-64:],
                "owner_id": str(UUID(int=chance.getrandbits(128), version=4)),
                "recipient": {"user_id": person, "phone": phone},
                "month": "2026-11",
                "amount": 10_000_000 + number,
                "due_date": (now + timedelta(days=10)).date().isoformat(),
            }
        number_id = str(UUID(int=chance.getrandbits(128), version=4))
        event = {
            "specversion": "1.0",
            "id": number_id,
            "source": self.source,
            "type": f"mn.spacehub.{kind}",
            "time": now.isoformat(),
            "datacontenttype": "application/json",
            "data": data,
        }
        offered = Offered(number_id, kind, 10_000_000 + number, json.dumps(event).encode())
        self.events[number_id] = offered
        return offered


class Client:
    """Another domain's publisher: connects again after a loss and repeats what was not confirmed, under the same id."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: AbstractConnection | None = None
        self._channel: aiormq.Channel | None = None
        self._connecting = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._drop(self._channel)

    async def offer(self, offering: Offering, load: Load) -> None:
        """Publish all of `load` at its pace, whatever happens to the broker; returns when all are confirmed."""
        turn = asyncio.Semaphore(AT_ONCE)
        loop = asyncio.get_running_loop()
        started = loop.time()

        async def one(event: Offered) -> None:
            async with turn:
                await self.publish(offering, event)

        async with asyncio.TaskGroup() as group:
            for place, event in enumerate(offering.made(load)):
                await asyncio.sleep(max(0.0, started + place / load.per_second - loop.time()))
                group.create_task(one(event))

    async def publish(
        self,
        offering: Offering,
        event: Offered,
        *,
        exchange: str = "spacehub.events",
        key: str | None = None,
        headers: dict[str, Any] | None = None,
    ) -> None:
        """Publish one event until it is confirmed."""
        for attempt in count():
            if await self.put(event.body, event.id, exchange=exchange, key=key or event.kind, headers=headers):
                offering.confirmed[event.id] = datetime.now(UTC)
                offering.repeated += attempt > 0
                return
            await asyncio.sleep(0.2)

    async def put(
        self, body: bytes, message_id: str, *, exchange: str, key: str, headers: dict[str, Any] | None = None
    ) -> bool:
        """Publish any bytes once; whether the broker confirmed that it has them in a queue."""
        channel: aiormq.Channel | None = None
        properties = aiormq.spec.Basic.Properties(
            content_type="application/cloudevents+json", message_id=message_id, delivery_mode=2, headers=headers
        )
        try:
            async with asyncio.timeout(ANSWER):
                channel = await self._open()
                answer = await channel.basic_publish(
                    body, exchange=exchange, routing_key=key, properties=properties, mandatory=True, wait=False
                )
            return isinstance(answer, aiormq.spec.Basic.Ack)
        except aiormq.exceptions.PublishError:
            return False
        except (Exception, asyncio.CancelledError):
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            await self._drop(channel)
            return False

    async def _open(self) -> aiormq.Channel:
        async with self._connecting:
            if self._channel is None or self._channel.is_closed:
                self._connection = await aio_pika.connect(self._url, timeout=ANSWER)
                channel = await self._connection.channel(publisher_confirms=True, on_return_raises=True)
                underlay = await channel.get_underlay_channel()
                assert isinstance(underlay, aiormq.Channel)
                self._channel = underlay
            return self._channel

    async def _drop(self, channel: aiormq.Channel | None) -> None:
        """Close the connection, unless another task has opened a new one meanwhile."""
        if self._channel is not channel:
            return
        connection, self._connection, self._channel = self._connection, None, None
        if connection is not None:
            closing = asyncio.ensure_future(connection.close())
            await asyncio.wait([closing], timeout=1)
            closing.cancel()
            await asyncio.gather(closing, return_exceptions=True)
