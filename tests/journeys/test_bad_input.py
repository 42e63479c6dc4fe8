"""What cannot be read ends among the dead letters with the reason, and holds up nobody."""

import json
from typing import Any

import pytest
from aio_pika.abc import AbstractIncomingMessage
from spacehub.testing.waiting import eventually

from tests.journeys.outsider import Outsider, person
from tests.journeys.test_use_cases import bill

QUEUE = "inbox-api.standard"


async def letter_with(outsider: Outsider, body: bytes) -> AbstractIncomingMessage:
    """The dead letter whose body is `body`, once it is there; it stays."""

    async def found() -> list[AbstractIncomingMessage]:
        async with Outsider.of(outsider.endpoints) as reader:
            return [letter for letter in await reader.dead_letters(f"{QUEUE}.dead") if letter.body == body]

    [letter] = await eventually(found)
    return letter


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"{not json at all", "not_json"),
        (b"\xff\xfe\x00", "not_json"),
        (b"[]", "wrong_data"),
        (b'{"specversion":"0.3","id":"1","source":"/x","type":"mn.spacehub.bill.cancelled","data":{}}', "specversion"),
        (b'{"specversion":"1.0","id":"2","source":"/x","type":"mn.spacehub.no.such","data":{}}', "no_such_type"),
        (b'{"specversion":"1.0","id":"3","source":"/x","type":"mn.spacehub.bill.cancelled","data":{}}', "data.bill_id"),
        (b'{"pad":"' + b"x" * 5_000_000 + b'"}', "too_large"),
    ],
    ids=["broken JSON", "not text", "not an object", "wrong version", "unknown type", "missing field", "5 MB"],
)
async def test_an_unreadable_message_is_kept_with_its_reason(outsider: Outsider, body: bytes, reason: str) -> None:
    await outsider.put(body, key="bill.issued")

    letter = await letter_with(outsider, body)
    assert reason in str(letter.headers["x-reason"])
    assert letter.headers["x-origin-queue"] == QUEUE
    assert letter.headers["x-attempts"] == 1
    assert letter.headers["x-failed-at"]


async def test_a_wrong_field_is_named_and_its_value_is_not(outsider: Outsider) -> None:
    event = outsider.event("bill.issued", bill(month="2026-11", recipient=person(), amount="many"))

    await outsider.publish(event)

    letter = await letter_with(outsider, json.dumps(event, ensure_ascii=False).encode())
    assert "data.amount" in str(letter.headers["x-reason"])
    assert "many" not in str(letter.headers["x-reason"])


async def test_an_unknown_routing_key_is_not_lost(outsider: Outsider) -> None:
    event = outsider.event("tenant.sneezed", {})

    await outsider.publish(event)

    letter = await letter_with(outsider, json.dumps(event).encode())
    assert "no_such_type" in str(letter.headers["x-reason"])


async def test_good_events_pass_between_bad_ones(outsider: Outsider, phone: str) -> None:
    good = [
        outsider.event("bill.issued", bill(month="2026-11", amount=number, recipient=person(phone)))
        for number in range(1, 11)
    ]

    for event in good:
        await outsider.put(b"{" * 100, key="bill.issued")
        await outsider.publish(event)

    async def all_ended() -> bool:
        return all([await outsider.ended(event["id"]) for event in good])

    await eventually(all_ended)
    assert len(await outsider.texts_to(f"976{phone}")) == 10


@pytest.mark.parametrize("prefix", ["cloudEvents_", "cloudEvents:"])
async def test_binary_mode_is_read_like_structured(outsider: Outsider, phone: str, prefix: str) -> None:
    event = outsider.event("bill.issued", bill(month="2026-11", recipient=person(phone)))
    headers: dict[str, Any] = {
        f"{prefix}{name}": event[name] for name in ("specversion", "id", "source", "type", "time")
    }

    await outsider.put(
        json.dumps(event["data"]).encode(), key="bill.issued", content_type="application/json", headers=headers
    )

    assert (await eventually(lambda: outsider.ended(event["id"])))["sms"] == ("sent", None)
    assert len(await outsider.texts_to(f"976{phone}")) == 1
