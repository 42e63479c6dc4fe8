"""Whatever arrives, reading it ends in an event or in Unreadable."""

import json
from contextlib import suppress
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from spacehub.errors import Unreadable
from spacehub.events.catalogue import BY_TYPE
from spacehub.events.envelope import Event, read

LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters())
JSON = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)
KEYS = sorted({name for model in BY_TYPE.values() for name in model.model_fields})
DATA = st.dictionaries(st.sampled_from(KEYS) | st.text(), JSON)
HEADERS = st.dictionaries(
    st.sampled_from(
        [f"{prefix}{name}" for prefix in ("cloudEvents_", "cloudEvents:") for name in ("id", "source", "type", "time")]
    )
    | st.text(),
    LEAVES | st.binary() | st.binary().map(bytearray) | st.datetimes() | st.lists(LEAVES),
)


def check_read_or_refused(body: bytes, content_type: str | None, headers: dict[str, Any]) -> None:
    with suppress(Unreadable):
        assert isinstance(read(body, content_type=content_type, headers=headers), Event)


@settings(max_examples=100, deadline=None)
@given(st.binary(), st.none() | st.text(), HEADERS)
def test_any_bytes_and_headers_are_read_or_refused(body: bytes, content_type: str | None, headers: Any) -> None:
    check_read_or_refused(body, content_type, headers)


@settings(max_examples=100, deadline=None)
@given(JSON)
def test_any_json_is_read_or_refused(value: Any) -> None:
    check_read_or_refused(json.dumps(value).encode(), None, {})


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(sorted(BY_TYPE)), DATA | JSON, st.dictionaries(st.text(), JSON))
def test_any_data_of_a_known_type_is_read_or_refused(kind: str, data: Any, more: dict[str, Any]) -> None:
    envelope = {**more, "specversion": "1.0", "id": "e-1", "source": "/fuzz", "type": kind, "data": data}

    check_read_or_refused(json.dumps(envelope).encode(), None, {})


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(sorted(BY_TYPE)), st.binary() | JSON.map(lambda value: json.dumps(value).encode()), HEADERS)
def test_any_binary_event_is_read_or_refused(kind: str, body: bytes, headers: dict[str, Any]) -> None:
    attributes = {"cloudEvents_specversion": "1.0", "cloudEvents_id": "e-1", "cloudEvents_source": "/fuzz"}

    check_read_or_refused(body, "application/json", {**attributes, "cloudEvents_type": kind, **headers})
