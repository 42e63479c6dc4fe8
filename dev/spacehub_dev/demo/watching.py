"""What the demo sees arrive: each place is read as an outsider would read it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import aio_pika
import httpx

from spacehub_dev.demo.story import Channel


@dataclass(frozen=True, slots=True)
class Seen:
    """One message that arrived; `event` is the id of its cause where the place tells it."""

    channel: Channel
    to: str
    text: str
    at: datetime
    event: str | None = None


async def texts(endpoints: Mapping[str, Any], *, to: set[str]) -> list[Seen]:
    """The SMS that the carrier took for the numbers `to`."""
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(f"{endpoints['sms_simulator_url']}/control/messages", params={"since": 0})
    return [
        Seen("sms", message["to"], message["text"], datetime.fromisoformat(message["receivedAt"]))
        for message in answer.json()["messages"]
        if message["to"] in to
    ]


async def pushes(endpoints: Mapping[str, Any], *, to: set[str]) -> list[Seen]:
    """What FCM took for the tokens `to`."""
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(f"{endpoints['fcm_simulator_url']}/control/messages", params={"since": 0})
    return [
        Seen("push", message["token"], message["notification"]["body"], datetime.fromisoformat(message["receivedAt"]))
        for message in answer.json()["messages"]
        if message["token"] in to
    ]


async def dead_letters(endpoints: Mapping[str, Any], queue: str, events: set[str]) -> list[Seen]:
    """The dead letters of `events` in `queue`; they stay there."""
    async with await aio_pika.connect(endpoints["amqp_url"]) as connection:
        channel = await connection.channel()
        found = []
        dead = await channel.declare_queue(queue, passive=True)
        for _ in range(dead.declaration_result.message_count or 0):
            message = await dead.get(fail=False)
            if message is not None and json.loads(message.body).get("id") in events:
                reason, failed_at = str(message.headers["x-reason"]), str(message.headers["x-failed-at"])
                found.append(Seen("dead letter", queue, reason, datetime.fromisoformat(failed_at), message.message_id))
        return found
