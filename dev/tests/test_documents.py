"""The contract documents say what the code does, in the formats they claim to be in."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from spacehub.errors import Unreadable
from spacehub.events.catalogue import EVENTS_EXCHANGE, FACTS, TYPE_PREFIX
from spacehub.events.envelope import STRUCTURED, Event, read, write
from spacehub.events.facts import Fact
from spacehub.testing.strategies import facts
from spacehub.topology import WORK_QUEUES
from spacehub_dev.documents import writing
from spacehub_dev.documents.writing import DOCS
from spacehub_dev.testing.npm import npm_is_here, npm_package

ASYNCAPI: dict[str, Any] = yaml.safe_load((DOCS / "events" / "asyncapi.yaml").read_text(encoding="utf-8"))
MESSAGES: dict[str, Any] = ASYNCAPI["components"]["messages"]
SAMPLES = sorted((DOCS / "events" / "samples").glob("*.json"))
BILL = json.loads((DOCS / "events" / "samples" / "02-bill-issued.json").read_text(encoding="utf-8"))


def schema_of(key: str) -> jsonschema_rs.Draft202012Validator:
    text = (DOCS / "events" / "schemas" / f"{key}.json").read_text(encoding="utf-8")
    return jsonschema_rs.Draft202012Validator(json.loads(text), validate_formats=True)


def is_readable(event: object) -> bool:
    try:
        read(json.dumps(event).encode(), content_type=STRUCTURED, headers={})
    except Unreadable:
        return False
    return True


def references(part: object) -> Iterator[str]:
    match part:
        case {"$ref": str(reference)}:
            yield reference
        case dict():
            for inner in part.values():
                yield from references(inner)
        case list():
            for inner in part:
                yield from references(inner)


def test_what_is_committed_is_what_the_code_says() -> None:
    assert writing.differences() == [], "run `make docs`"


def test_writing_brings_everything_up_to_date(tmp_path: Path) -> None:
    writing.write(tmp_path)
    docs = tmp_path / "docs"
    (docs / "events" / "schemas" / "bill.issued.json").write_text("{}")
    (docs / "events" / "schemas" / "bill.gone.json").write_text("{}")
    (docs / "api" / "devices-api.yaml").unlink()
    outdated = [
        f"docs/{name}"
        for name in ("api/devices-api.yaml", *(f"events/schemas/bill.{n}.json" for n in ("gone", "issued")))
    ]

    assert writing.differences(tmp_path) == outdated
    assert writing.write(tmp_path) == outdated
    assert writing.differences(tmp_path) == []


@pytest.mark.skipif(not npm_is_here(), reason="the schema of AsyncAPI comes from npm")
def test_asyncapi_document_is_one() -> None:
    specification = npm_package("@asyncapi/specs", "6.11.1") / "@asyncapi" / "specs" / "schemas" / "3.0.0.json"
    validator = jsonschema_rs.validator_for(json.loads(specification.read_text(encoding="utf-8")))

    assert [str(error) for error in validator.iter_errors(ASYNCAPI)] == []


def test_every_reference_leads_somewhere() -> None:
    for reference in references(ASYNCAPI):
        part = ASYNCAPI
        for name in reference.removeprefix("#/").split("/"):
            assert name in part, reference
            part = part[name]


def test_every_key_of_the_exchange_is_a_channel() -> None:
    consumed = {key for work in WORK_QUEUES if work.exchange == EVENTS_EXCHANGE for key in work.keys}

    assert set(ASYNCAPI["channels"]) == consumed
    assert {channel["address"] for channel in ASYNCAPI["channels"].values()} == consumed
    assert {message["name"] for message in MESSAGES.values()} == {fact.type for fact in FACTS}
    assert {name for name in ASYNCAPI["operations"] if name.startswith("receive.")} == {
        f"receive.{k}" for k in consumed
    }


def test_channels_are_keys_of_the_one_durable_topic_exchange() -> None:
    exchange = {"name": "spacehub.events", "type": "topic", "durable": True, "autoDelete": False, "vhost": "/"}

    for channel in ASYNCAPI["channels"].values():
        assert channel["bindings"] == {
            "amqp": {"is": "routingKey", "exchange": exchange, "bindingVersion": "0.3.0"},
        }


@pytest.mark.parametrize("key", ASYNCAPI["channels"])
def test_examples_read_as_events_of_their_channel(key: str) -> None:
    [structured] = MESSAGES[key]["examples"]
    [binary] = MESSAGES[f"{key}.binary"]["examples"]

    read_structured = read(json.dumps(structured["payload"]).encode(), content_type=STRUCTURED, headers={})
    read_binary = read(
        json.dumps(binary["payload"]).encode(), content_type="application/json", headers=binary["headers"]
    )

    assert read_structured == read_binary
    assert read_structured.data.routing_key == key
    assert schema_of(key).is_valid(structured["payload"])


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
def test_schemas_judge_the_samples_as_the_consumers_do(sample: Path) -> None:
    event = json.loads(sample.read_text(encoding="utf-8"))
    key = event["type"].removeprefix(TYPE_PREFIX)

    assert schema_of(key).is_valid(event) == is_readable(event)


@pytest.mark.parametrize(
    "wrong",
    [
        {"specversion": "0.3"},
        {"id": ""},
        {"source": None},
        {"time": "yesterday"},
        {"type": "mn.spacehub.bill.lost"},
        {"data": {}},
        {"data": BILL["data"] | {"amount": "1250000"}},
        {"data": BILL["data"] | {"amount": 12.5}},
        {"data": BILL["data"] | {"amount": -1}},
        {"data": BILL["data"] | {"month": "2026-13"}},
        {"data": BILL["data"] | {"due_date": "05.12.2026"}},
        {"data": BILL["data"] | {"owner_id": "owner"}},
        {"data": BILL["data"] | {"bill_id": "x" * 65}},
        {"data": BILL["data"] | {"recipient": {"user_id": BILL["data"]["owner_id"], "locale": "ru"}}},
    ],
    ids=str,
)
def test_what_the_consumers_cannot_read_is_wrong_by_the_schema(wrong: dict[str, Any]) -> None:
    event = BILL | wrong

    assert not is_readable(event)
    assert not schema_of("bill.issued").is_valid(event)


@pytest.mark.parametrize("missing", ["specversion", "id", "source", "type", "data"])
def test_what_an_event_must_have_is_required_by_the_schema(missing: str) -> None:
    event = {name: value for name, value in BILL.items() if name != missing}

    assert not is_readable(event)
    assert not schema_of("bill.issued").is_valid(event)


@pytest.mark.parametrize("model", FACTS, ids=lambda model: model.type)
@settings(max_examples=15, deadline=None)
@given(drawn=st.data())
def test_schemas_allow_whatever_the_models_can_say(model: type[Fact], drawn: st.DataObject) -> None:
    fact = drawn.draw(facts(model))
    event = json.loads(write(Event(id="e-1", source="/test", data=fact)).body)

    schema_of(fact.routing_key).validate(event)
