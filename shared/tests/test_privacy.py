"""A phone number leaves a trace that is found again, and that tells nobody the number."""

import hashlib

import pytest
from pydantic import SecretStr
from spacehub.privacy import phone_trace

KEY = SecretStr("a key")


@pytest.mark.parametrize(
    "spelling",
    ["99112233", "9911 2233", "+976 9911-2233", "0097699112233", "976.9911.2233", "(976) 99112233", "099112233"],
)
def test_every_spelling_leaves_the_same_trace(spelling: str) -> None:
    assert phone_trace(spelling, key=KEY) == phone_trace("99112233", key=KEY)


def test_other_numbers_and_other_keys_leave_other_traces() -> None:
    traces = {phone_trace(number, key=KEY).hash for number in ("99112233", "99112234", "88112233")}

    assert len(traces) == 3
    assert phone_trace("99112233", key=SecretStr("another key")).hash not in traces


def test_trace_shows_four_digits_and_no_plain_hash() -> None:
    trace = phone_trace("99112233", key=KEY)

    assert trace.last4 == "2233"
    assert len(trace.hash) == 32
    assert trace.hash != hashlib.sha256(b"99112233").digest()
    assert "99112233" not in repr(trace)


@pytest.mark.parametrize("nonsense", ["", "no digits", "٩٩١١٢٢٣٣", "12"])
def test_what_is_no_number_leaves_a_trace_too(nonsense: str) -> None:
    assert len(phone_trace(nonsense, key=KEY).hash) == 32
