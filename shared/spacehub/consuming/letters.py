"""Moving a message on: the same body with our headers, to a retry tier or to the dead letters."""

import struct
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from aiormq.abc import DeliveredMessage
from pamqp import encode

from spacehub.confirming import Outgoing
from spacehub.events.envelope import Message
from spacehub.topology import WorkQueue

ATTEMPTS = "x-attempts"
REASON = "x-reason"
FAILED_AT = "x-failed-at"
ORIGIN = "x-origin-queue"

_BROKERS_OWN = ("x-death", "x-first-death-", "x-last-death-", "x-delivery-count", "x-acquired-count")
"""Headers the broker adds and counts; republished they would mislead it (3.10 counts on, 4.0 resets)."""

_KEPT_PROPERTIES = (
    "content_encoding",
    "priority",
    "correlation_id",
    "reply_to",
    "timestamp",
    "message_type",
    "app_id",
)
"""Not kept: `expiration`, which would let a letter vanish, and `user_id`, which the broker checks against ours."""

_LONGEST_REASON = 1000
_LARGEST_HEADERS = 100 * 1024
"""Bytes. The broker takes a frame of 128 KiB at most, and ours come on top of those that filled it."""


def attempts_of(message: DeliveredMessage) -> int:
    """How many attempts our own header says were used up."""
    attempts = headers_of(message).get(ATTEMPTS, 0)
    return attempts if isinstance(attempts, int) and attempts >= 0 else 0


def headers_of(message: DeliveredMessage) -> Mapping[str, Any]:
    """The message's headers."""
    return message.header.properties.headers or {}


def to_tier(
    message: DeliveredMessage, *, queue: WorkQueue, tier: str, attempts: int, instead: Message | None = None
) -> Outgoing:
    """The message, or `instead` in its place, as it waits in the `tier` of `queue`."""
    return _with_body(instead, _copy(message, by=queue.moves, to=queue.tier(tier), headers={ATTEMPTS: attempts}))


def to_dead(
    message: DeliveredMessage, *, queue: WorkQueue, attempts: int, reason: str, instead: Message | None = None
) -> Outgoing:
    """The message, or `instead` in its place, as a dead letter of `queue`, saying why and when."""
    failed_at = datetime.now(UTC).isoformat(timespec="milliseconds")
    headers = {REASON: reason[:_LONGEST_REASON], ATTEMPTS: attempts, FAILED_AT: failed_at, ORIGIN: queue.name}
    return _with_body(instead, _copy(message, by=queue.moves, to=queue.dead, headers=headers))


def moved(message: DeliveredMessage, *, to: str) -> Outgoing:
    """The message as it is, for the queue called `to`."""
    return _copy(message, by="", to=to, headers={})


def _copy(message: DeliveredMessage, *, by: str, to: str, headers: Mapping[str, Any]) -> Outgoing:
    properties = message.header.properties
    kept = {name: getattr(properties, name) for name in _KEPT_PROPERTIES}
    return Outgoing(
        exchange=by,
        routing_key=to,
        body=message.body,
        message_id=properties.message_id or "",
        content_type=properties.content_type,
        headers={**_kept_headers(headers_of(message)), **headers},
        properties={name: value for name, value in kept.items() if value is not None},
    )


def _kept_headers(headers: Mapping[str, Any]) -> dict[str, Any]:
    """Those headers of a message that can go on with it: as they are where AMQP can say them again, else as text.

    `CC` would send copies elsewhere again. Of more than the broker takes, the largest are left behind.
    """
    kept: dict[str, Any] = {}
    sizes: dict[str, int] = {}
    for name, value in headers.items():
        if name != "CC" and not name.startswith(_BROKERS_OWN):
            kept[name] = _repeatable(value)
            sizes[name] = len(encode.field_table({name: kept[name]}))
    while sum(sizes.values()) > _LARGEST_HEADERS:
        largest = max(sizes, key=sizes.__getitem__)
        del kept[largest], sizes[largest]
    return kept


def _repeatable(value: Any) -> Any:
    match value:
        case float():
            return str(value)  # the client would write it with half its digits, and not at all above 3e38
        case bytes():
            return bytearray(value)
    try:
        encode.encode_table_value(value)
    except (TypeError, ValueError, OverflowError, RecursionError, struct.error):
        return repr(value)
    return value


def _with_body(instead: Message | None, outgoing: Outgoing) -> Outgoing:
    if instead is None:
        return outgoing
    return replace(outgoing, body=instead.body, message_id=instead.id, content_type=instead.content_type)


def as_new(message: DeliveredMessage, *, queue: WorkQueue) -> Outgoing:
    """A dead letter as its queue first got it: no attempts used up, no reason."""
    ours = (ATTEMPTS, REASON, FAILED_AT, ORIGIN)
    outgoing = _copy(message, by=queue.moves, to=queue.name, headers={})
    return replace(outgoing, headers={name: value for name, value in outgoing.headers.items() if name not in ours})
