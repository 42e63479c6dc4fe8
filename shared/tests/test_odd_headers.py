"""Headers that our client cannot read, or cannot write again, hold nothing up and change no event."""

from datetime import timedelta
from typing import Any

import pytest
from pamqp.commands import Basic
from spacehub.consuming.subscription import one_by_one
from spacehub.errors import TemporaryFailure
from spacehub.events.envelope import Event
from spacehub.rabbit import Publisher
from spacehub.testing.broker import Broker, headers_of
from spacehub.testing.subscribed import Handled, at_work, put_events
from spacehub.testing.waiting import eventually

BODY = b"{"


def table(*fields: bytes) -> Basic.Properties:
    """Message properties made of a header table in raw bytes, as only a foreign client can write it."""
    raw = b"".join(fields)
    properties = _RawHeaders(message_id="odd")
    properties.raw = len(raw).to_bytes(4, "big") + raw
    return properties


class _RawHeaders(Basic.Properties):
    raw: bytes

    def encode_property(self, name: str, value: Any) -> bytes:
        return self.raw if name == "headers" else super().encode_property(name, value)

    def __init__(self, **more: Any) -> None:
        super().__init__(headers={"raw": True}, **more)


def field(name: bytes, kind: bytes, value: bytes) -> bytes:
    return bytes([len(name)]) + name + kind + value


ODD_HEADERS = {
    "float above 3e38": field(b"a", b"d", bytes.fromhex("7e37e43c8800759c")),
    "text that is not UTF-8": field(b"a", b"S", b"\x00\x00\x00\x02\xe9x"),
    "name that is not UTF-8": field(b"\xe9", b"S", b"\x00\x00\x00\x01x"),
    "time beyond the year 9999": field(b"a", b"T", (10**18).to_bytes(8, "big")),
    "nested text that is not UTF-8": field(
        b"a", b"F", b"\x00\x00\x00\x08" + field(b"b", b"S", b"\x00\x00\x00\x01\xe9")
    ),
    "bytes": field(b"a", b"x", b"\x00\x00\x00\x01\xff"),
    "nothing": field(b"a", b"V", b""),
    "copies for others": field(b"CC", b"A", b"\x00\x00\x00\x0c" + b"S\x00\x00\x00\x07nowhere"),
    "large": b"".join(field(b"a%d" % number, b"S", (32_740).to_bytes(4, "big") + b"x" * 32_740) for number in range(4)),
}


@pytest.mark.parametrize("odd", ODD_HEADERS.values(), ids=ODD_HEADERS)
async def test_odd_headers_hold_nothing_up_and_lose_nothing(broker: Broker, publisher: Publisher, odd: bytes) -> None:
    queue, handled = await broker.work_queue(), Handled()
    await put_events(broker, queue, "before")
    await broker.put(queue.name, BODY, properties=table(odd))
    await put_events(broker, queue, "after")

    async with at_work(queue, one_by_one(handled), url=broker.url, publisher=publisher, batch=5):
        await broker.holds(queue.dead)
        await eventually(lambda: handled.ids == ["before", "after"])

    [letter] = await broker.take(queue.dead)
    assert (letter.body, letter.header.properties.message_id) == (BODY, "odd")
    assert headers_of(letter)["x-reason"].startswith("not_json: ")
    assert "CC" not in headers_of(letter)


async def test_retries_do_not_change_who_a_binary_event_is(broker: Broker, publisher: Publisher) -> None:
    queue = await broker.work_queue(tiers={"soon": timedelta(milliseconds=20)})
    seen: list[Event] = []

    async def handle(event: Event) -> None:
        seen.append(event)
        if len(seen) == 1:
            raise TemporaryFailure("busy")

    attributes = table(
        field(b"cloudEvents_specversion", b"S", b"\x00\x00\x00\x031.0"),
        field(b"cloudEvents_id", b"d", bytes.fromhex("3ff199999999999a")),
        field(b"cloudEvents_source", b"S", b"\x00\x00\x00\x02\xe9x"),
        field(b"cloudEvents_type", b"x", b"\x00\x00\x00\x1a" + b"mn.spacehub.bill.cancelled"),
    )
    await broker.put(queue.name, b'{"bill_id": "A-1"}', properties=attributes)
    async with at_work(queue, one_by_one(handle), url=broker.url, publisher=publisher):
        await eventually(lambda: len(seen) == 2)

    assert seen[0] == seen[1]
    assert seen[0].id == "1.1"
