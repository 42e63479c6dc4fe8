"""An outsider: publishes over AMQP and reads what arrives, sharing no code with the services."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import aio_pika
import asyncpg
import httpx
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Outsider:
    """Another domain's developer, with the URLs of `.run/endpoints.json`."""

    endpoints: Record
    channel: AbstractChannel
    http: httpx.AsyncClient

    @staticmethod
    @asynccontextmanager
    async def of(endpoints: Record) -> AsyncIterator["Outsider"]:
        async with await aio_pika.connect(endpoints["amqp_url"]) as connection, httpx.AsyncClient() as http:
            yield Outsider(endpoints, await connection.channel(), http)

    def event(self, short_type: str, data: Record, **attributes: Any) -> dict[str, Any]:
        """A CloudEvent with a fresh id; `attributes` override."""
        envelope = {
            "specversion": "1.0",
            "id": str(uuid4()),
            "source": "/journey",
            "type": f"mn.spacehub.{short_type}",
            "time": datetime.now(UTC).isoformat(),
            "datacontenttype": "application/json",
            "data": data,
        }
        return envelope | attributes

    async def publish(self, event: Record, *, key: str | None = None) -> str:
        """Publish in structured mode; the event's id."""
        await self.put(
            json.dumps(event, ensure_ascii=False).encode(), key=key or event["type"].removeprefix("mn.spacehub.")
        )
        return str(event["id"])

    async def put(self, body: bytes, *, key: str, **properties: Any) -> None:
        """Publish any bytes."""
        chosen = {"content_type": "application/cloudevents+json", "message_id": str(uuid4())} | properties
        exchange = await self.channel.get_exchange("spacehub.events")
        await exchange.publish(aio_pika.Message(body, **chosen), routing_key=key, timeout=20)

    async def tell(self, short_type: str, data: Record, **attributes: Any) -> str:
        """Publish a fresh event; its id."""
        return await self.publish(self.event(short_type, data, **attributes))

    async def texts_to(self, phone: str) -> list[str]:
        """The texts that the carrier took for `phone` (976 and eight digits)."""
        answer = await self.http.get(f"{self.endpoints['sms_simulator_url']}/control/messages", params={"since": 0})
        return [message["text"] for message in answer.json()["messages"] if message["to"] == phone]

    async def rows(self, database: str, query: str, *values: Any) -> list[asyncpg.Record]:
        """What a service has on record."""
        connection = await asyncpg.connect(self.endpoints["databases"][database])
        try:
            return list(await connection.fetch(query, *values))
        finally:
            await connection.close()

    async def deliveries_of(self, event_id: str) -> dict[str, tuple[str, str | None]]:
        """How each delivery of an event stands: its end and the reason, by channel."""
        rows = await self.rows("inbox", "SELECT channel, status, reason FROM deliveries WHERE event_id = $1", event_id)
        return {row["channel"]: (row["status"], row["reason"]) for row in rows}

    async def ended(self, event_id: str) -> dict[str, tuple[str, str | None]]:
        """The same once there are deliveries and all have ended, nothing before."""
        deliveries = await self.deliveries_of(event_id)
        pending = any(status == "pending" for status, _ in deliveries.values())
        return {} if pending else deliveries

    async def dead_letters(self, queue: str) -> list[AbstractIncomingMessage]:
        """The letters in `queue`; they go back when this outsider leaves."""
        dead = await self.channel.get_queue(queue)
        letters = []
        while (letter := await dead.get(fail=False)) is not None:
            letters.append(letter)
        return letters


def person(phone: str | None = None, **more: str) -> dict[str, str]:
    """A recipient nobody has heard of yet."""
    return {"user_id": str(uuid4()), **({"phone": phone} if phone else {}), **more}
