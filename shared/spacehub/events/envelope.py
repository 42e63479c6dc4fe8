"""CloudEvents 1.0 around our data: reading both AMQP modes, writing the structured one.

The AMQP binding of CloudEvents is written for AMQP 1.0; on 0-9-1 the header prefixes `cloudEvents_` and `cloudEvents:`
are the convention. https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/amqp-protocol-binding.md
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError
from pydantic_core import from_json, to_json

from spacehub.errors import Unreadable
from spacehub.events import cause
from spacehub.events.catalogue import BY_TYPE, TYPE_PREFIX
from spacehub.events.facts import Fact, Value
from spacehub.events.values import Moment

STRUCTURED = "application/cloudevents+json"
MAX_BODY = 1024 * 1024
"""Bytes: larger bodies are unreadable. A thousand recipients with the longest texts are a fifth of it."""

_PREFIXES = ("cloudEvents_", "cloudEvents:")


class Attributes(Value):
    """The context attributes we read; unknown extension attributes are ignored."""

    specversion: Literal["1.0"]
    id: Annotated[str, Field(min_length=1, max_length=255)]
    source: Annotated[str, Field(min_length=1, max_length=255)]
    type: str
    time: Moment | None = None
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """One event: (`source`, `id`) is its identity, `data` what it says, `time` when it happened, if told."""

    id: str
    source: str
    data: Fact
    time: datetime | None = None
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """An event ready for the wire, structured mode."""

    id: str
    routing_key: str
    body: bytes
    content_type: str = STRUCTURED + "; charset=utf-8"


def read(body: bytes, *, content_type: str | None, headers: Mapping[str, Any]) -> Event:
    """The event in an AMQP message, structured or binary. Raises Unreadable, which names the fields and no values."""
    if len(body) > MAX_BODY:
        raise Unreadable(f"too_large: {len(body)} bytes, the limit is {MAX_BODY}")
    try:
        if any(key.startswith(_PREFIXES) for key in headers) and not _is_structured(content_type):
            attributes = Attributes.model_validate_json(json.dumps(_from_headers(headers)))
            data = body
        else:
            attributes = Attributes.model_validate_json(body)
            data = _data_of(body)
        model = BY_TYPE.get(attributes.type)
        if model is None:
            raise Unreadable("no_such_type: type: not a type of the catalogue")
    except ValidationError as wrong:
        raise Unreadable(_explained(wrong)) from None
    try:
        fact = model.model_validate_json(data)
    except ValidationError as wrong:
        raise Unreadable(_explained(wrong, "data")) from None
    _refuse_nul(attributes.model_dump(exclude_none=True))
    if b"\\u0000" in data:
        _refuse_nul({"data": fact.model_dump(mode="json")})
    return Event(
        id=attributes.id,
        source=attributes.source,
        data=fact,
        time=attributes.time,
        traceparent=_lent(headers.get("traceparent")) if attributes.traceparent is None else attributes.traceparent,
    )


def _lent(header: object) -> str | None:
    """The plain header that OpenTelemetry's AMQP instrumentations add, for publishers who do not name their trace."""
    return header if isinstance(header, str) and cause.trace_id_of(header) is not None else None


def write(event: Event) -> Message:
    """`event` as a structured CloudEvents message; its AMQP message id is the event's id.

    One without a `traceparent` of its own belongs to the trace of the event at hand. It comes last: see `cause`.
    """
    envelope: dict[str, Any] = {
        "specversion": "1.0",
        "id": event.id,
        "source": event.source,
        "type": TYPE_PREFIX + event.data.type,
        "datacontenttype": "application/json",
        "data": event.data.model_dump(mode="json", exclude_unset=True),
    }
    if event.time is not None:
        envelope["time"] = event.time.astimezone(UTC).isoformat().replace("+00:00", "Z")
    traceparent = event.traceparent
    if traceparent is None and (at_hand := cause.current()) is not None:
        traceparent = at_hand.traceparent
    if traceparent is not None:
        envelope["traceparent"] = traceparent
    return Message(id=event.id, routing_key=event.data.routing_key, body=to_json(envelope))


def _is_structured(content_type: str | None) -> bool:
    return content_type is not None and content_type.partition(";")[0].strip().lower() == STRUCTURED


def _from_headers(headers: Mapping[str, Any]) -> dict[str, str]:
    attributes = {}
    for key, value in headers.items():
        for prefix in _PREFIXES:
            if key.startswith(prefix) and value is not None:
                attributes[key.removeprefix(prefix)] = _as_text(value)
    return attributes


def _as_text(value: object) -> str:
    match value:
        case bytes() | bytearray():
            return value.decode("utf-8", errors="replace")
        case datetime():
            return (value if value.tzinfo else value.replace(tzinfo=UTC)).isoformat()
        case _:
            return str(value)


def _data_of(body: bytes) -> bytes:
    envelope = from_json(body)
    if "data" in envelope:
        return to_json(envelope["data"])
    if "data_base64" not in envelope:
        raise Unreadable("wrong_data: data: Field required")
    try:
        return base64.b64decode(envelope["data_base64"], validate=True)
    except (ValueError, TypeError):
        raise Unreadable("wrong_data: data_base64: not base64") from None


def _refuse_nul(value: object, *path: str) -> None:
    """PostgreSQL text cannot hold U+0000, so no text of ours may."""
    match value:
        case str() if "\x00" in value:
            raise Unreadable(f"wrong_data: {'.'.join(path)}: holds the character U+0000")
        case dict():
            for key, inner in value.items():
                _refuse_nul(inner, *path, key)
        case list():
            for number, inner in enumerate(value):
                _refuse_nul(inner, *path, str(number))


def _explained(wrong: ValidationError, *prefix: str) -> str:
    """Every fault by field, without the values, which may be private."""
    errors = wrong.errors(include_url=False, include_context=False, include_input=False)
    if any(error["type"] == "json_invalid" for error in errors):
        return f"not_json: {prefix[0] if prefix else 'the body'} is not JSON"
    named = [f"{'.'.join(map(str, (*prefix, *error['loc']))) or 'event'}: {error['msg']}" for error in errors]
    return "wrong_data: " + "; ".join(named[:10])
