"""The AsyncAPI 3.0 document of the exchange: a channel for each routing key, with the AMQP binding 0.3.0.

https://github.com/asyncapi/bindings/blob/master/amqp/README.md
"""

from collections.abc import Iterator
from typing import Any

from spacehub.events.catalogue import EVENTS_EXCHANGE
from spacehub.events.envelope import STRUCTURED
from spacehub.topology import WORK_QUEUES

from spacehub_dev.documents.examples import EXAMPLES, OURS, Example
from spacehub_dev.documents.schemas import ENVELOPE, components, event_schema

Part = dict[str, Any]

REFS = "#/components/schemas/"
HEADERS = f"{ENVELOPE}Headers"
HEADER_PREFIX = "cloudEvents:"
BINDING = {"bindingVersion": "0.3.0"}

ABOUT = """\
What other domains publish for Spacehub Notify, and what its services publish themselves: CloudEvents 1.0 on the
durable topic exchange `spacehub.events`, structured or binary.

Publish persistent and mandatory, with confirms, `message_id` being the event's id. A second copy, the same
(`source`, `id`), changes nothing. What cannot be read becomes a dead letter of its consumer, with the reason.
Unknown extra keys are ignored, and keys are only ever added.

docs/publishing.md publishes a first event in ten lines.
"""


def document() -> Part:
    """The whole document."""
    schemas = components(refs=REFS)
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Spacehub Notify: events", "version": "1.0.0", "description": ABOUT},
        "defaultContentType": STRUCTURED,
        "servers": {
            "broker": {
                "host": "{host}",
                "protocol": "amqp",
                "protocolVersion": "0.9.1",
                "description": "RabbitMQ; `make run` prints the URL of the development one.",
                "variables": {"host": {"default": "localhost:5672", "description": "Host and port"}},
            }
        },
        "channels": {example.routing_key: _channel(example) for example in EXAMPLES},
        "operations": {name: part for example in EXAMPLES for name, part in _operations(example)},
        "components": {
            "messages": {name: part for example in EXAMPLES for name, part in _messages(example)},
            "schemas": schemas | {HEADERS: _headers(schemas[ENVELOPE])},
        },
    }


def _channel(example: Example) -> Part:
    key = example.routing_key
    exchange = {"name": EVENTS_EXCHANGE, "type": "topic", "durable": True, "autoDelete": False, "vhost": "/"}
    return {
        "address": key,
        "title": example.event["type"],
        "description": f"{example.about} Published by: {example.publisher}.",
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in (key, _binary(key))},
        "bindings": {"amqp": {"is": "routingKey", "exchange": exchange, **BINDING}},
    }


def _operations(example: Example) -> Iterator[tuple[str, Part]]:
    """What Spacehub Notify does with the channel: it receives what a queue is bound for, and sends what is its own."""
    key = example.routing_key
    channel = {"$ref": f"#/channels/{key}"}
    if example.publisher in OURS:
        told = {"amqp": {"deliveryMode": 2, "mandatory": True, **BINDING}}
        summary = f"{example.publisher} publishes it."
        yield f"send.{key}", {"action": "send", "channel": channel, "summary": summary, "bindings": told}
    queues = [work.name for work in WORK_QUEUES if work.exchange == EVENTS_EXCHANGE and key in work.keys]
    if queues:
        told = {"amqp": {"ack": True, **BINDING}}
        summary = f"Consumed from {', '.join(queues)}."
        yield f"receive.{key}", {"action": "receive", "channel": channel, "summary": summary, "bindings": told}


def _messages(example: Example) -> Iterator[tuple[str, Part]]:
    """The event in both modes of CloudEvents."""
    key, event = example.routing_key, example.event
    described = {"name": example.fact.type, "title": event["type"], "summary": example.about}
    whole = event_schema(example.fact, refs=REFS, critical=example.is_critical)
    yield (
        key,
        {
            **described,
            "contentType": STRUCTURED,
            "payload": whole,
            "examples": [{"name": "structured", "payload": dict(event)}],
        },
    )
    attributes = {HEADER_PREFIX + name: event[name] for name in ("specversion", "id", "source", "type", "time")}
    yield (
        _binary(key),
        {
            **described,
            "contentType": "application/json",
            "headers": {"$ref": REFS + HEADERS},
            "payload": whole["properties"]["data"],
            "examples": [{"name": "binary", "headers": attributes, "payload": event["data"]}],
        },
    )


def _headers(attributes: Part) -> Part:
    return {
        "type": "object",
        "description": f"The attributes as headers; the prefix `cloudEvents_` is as good as `{HEADER_PREFIX}`.",
        "properties": {HEADER_PREFIX + name: schema for name, schema in attributes["properties"].items()},
        "required": [HEADER_PREFIX + name for name in attributes["required"]],
    }


def _binary(key: str) -> str:
    return f"{key}.binary"
