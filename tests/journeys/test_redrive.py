"""A redrive in the running system needs no settings, asks what was withdrawn since, and leaves its mark."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import aio_pika
from spacehub.testing.waiting import eventually
from spacehub_dev.launcher.system import System

from tests.journeys.calling import Caller, command
from tests.journeys.outsider import Outsider, person
from tests.journeys.test_use_cases import bill

QUEUE = "push-sender.critical"
"""Nothing of the other journeys dies here."""


async def push_of(system: System, outsider: Outsider, recipient: dict[str, str], owed: dict[str, Any]) -> str:
    """The id of the push that a bill caused, which has its end."""
    event = await outsider.tell("bill.issued", {**owed, "recipient": recipient})
    await eventually(lambda: outsider.ended(event))
    found = await Caller.of_operations(system, outsider).deliveries(event_id=event)
    [push] = [item["id"] for item in found if item["channel"] == "push"]
    return str(push)


async def dies(outsider: Outsider, push: str, recipient: dict[str, str]) -> None:
    """The request for that push becomes a dead letter, as its sender would write it."""
    now = datetime.now(UTC)
    data = {
        "source": "/journey",
        "source_id": push,
        "about": "bill.issued",
        "critical": True,
        "expires_at": (now + timedelta(days=1)).isoformat(),
        "user_id": recipient["user_id"],
        "push_id": push,
        "notification_id": push,
        "title": "t",
        "body": "b",
    }
    kind = "mn.spacehub.push.requested"
    event = {"specversion": "1.0", "id": push, "source": "/inbox-api", "type": kind, "data": data}
    headers: dict[str, Any] = {
        "x-reason": "unavailable",
        "x-attempts": 6,
        "x-failed-at": now.isoformat(),
        "x-origin-queue": QUEUE,
    }
    letter = aio_pika.Message(
        json.dumps(event).encode(), content_type="application/cloudevents+json", message_id=push, headers=headers
    )
    await outsider.channel.default_exchange.publish(letter, f"{QUEUE}.dead")


async def test_push_for_a_bill_that_was_paid_since_is_not_sent_by_a_redrive(system: System, outsider: Outsider) -> None:
    recipient = person()
    paid, owed = bill(month="2026-11"), bill(month="2026-11")
    pushes = [await push_of(system, outsider, recipient, one) for one in (paid, owed)]
    payment = {"payment_id": str(uuid4()), "bill_id": paid["bill_id"], "owner_id": paid["owner_id"], "amount": 1}
    event = await outsider.tell("payment.confirmed", {**payment, "recipient": recipient})
    await eventually(lambda: outsider.ended(event))
    for push in pushes:
        await dies(outsider, push, recipient)

    told = await command(system, "spacehub", "dead", "redrive", QUEUE, "--by", "Bat", "--reason", "paid or not")
    audit = await command(system, "spacehub", "dead", "audit")
    left = await outsider.dead_letters(f"{QUEUE}.dead")

    assert told == "1 sent back, 0 refused because they have expired, 1 because they were withdrawn\n"
    assert [letter.message_id for letter in left] == [pushes[0]]
    assert f"redriven {QUEUE}.dead  by Bat: paid or not  sent 1  expired 0  withdrawn 1" in audit
