"""What cannot be read is told by the field that is wrong, and never by a value: values may be private."""

import base64
import json
import traceback
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from spacehub.errors import Unreadable
from spacehub.events.envelope import MAX_BODY, STRUCTURED, read

SAMPLES = Path(__file__).parents[2] / "docs" / "events" / "samples"
UNREADABLE_SAMPLE = "09-unreadable-amount.json"
SECRET = "99112233-482913"
USER = str(UUID(int=1))
RECIPIENT = {"user_id": USER, "phone": SECRET}
BILL = {
    "bill_id": SECRET,
    "owner_id": USER,
    "recipient": RECIPIENT,
    "month": "2026-11",
    "amount": 1_250_000,
    "due_date": "2026-12-05",
}
OTP = {"phone": SECRET, "code": "482913"}
CONTRACT = {
    "contract_id": SECRET,
    "owner_id": USER,
    "recipient": RECIPIENT,
    "property": SECRET,
    "unit": SECRET,
    "ends_on": "2026-12-05",
}
NOTICE = {"recipients": [RECIPIENT], "title": SECRET, "body": SECRET, "channels": ["inbox"]}
DEVICE = {"token": SECRET, "user_id": USER, "reason": "UNREGISTERED", "resolved_at": "2026-11-23T09:00:00Z"}


def envelope(kind: str = "bill.issued", data: object = BILL, **more: Any) -> dict[str, Any]:
    named = {"specversion": "1.0", "id": SECRET, "source": "/billing", "type": f"mn.spacehub.{kind}", "data": data}
    return {**named, **more}


def without(whole: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in whole.items() if name not in names}


def reason_for(body: bytes | dict[str, Any], content_type: str | None = STRUCTURED, **headers: Any) -> str:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    with pytest.raises(Unreadable) as refusal:
        read(raw, content_type=content_type, headers=headers)
    for told in (refusal.value.reason, "".join(traceback.format_exception(refusal.value))):
        assert not any(secret in told for secret in (SECRET, "99112233", "482913"))
    return refusal.value.reason


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("amount", value) for value in ("many", 1.5, 5.0, True, "5", None, -1, 10**30, [SECRET])),
        *(("due_date", value) for value in ("2026-13-05", "05.12.2026", "2026-12-05T00:00:00", SECRET)),
        *(("due_date", value) for value in ("", "1764892800", 1764892800, "2026-12-05\n", "٢٠٢٦-12-05", None)),
        *(("owner_id", value) for value in ("owner", SECRET, 5, "", None, {"id": SECRET}, USER[:-1])),
        *(("month", value) for value in ("2026-13", "2026-1", "November", "2026-11\n", 202611, SECRET)),
        *(("bill_id", value) for value in ("", SECRET * 5, 4711, None, [SECRET])),
        *(("recipient", value) for value in (None, SECRET, 5, [RECIPIENT])),
    ],
)
def test_wrong_field_of_a_bill_is_named(field: str, value: object) -> None:
    reason = reason_for(envelope(data={**BILL, field: value}))

    assert reason.startswith(f"wrong_data: data.{field}: ")


@pytest.mark.parametrize(
    ("kind", "data", "field"),
    [
        ("bill.issued", {**BILL, "recipient": {"phone": SECRET}}, "recipient.user_id"),
        ("bill.issued", {**BILL, "recipient": {**RECIPIENT, "user_id": SECRET}}, "recipient.user_id"),
        ("bill.issued", {**BILL, "recipient": {**RECIPIENT, "locale": SECRET}}, "recipient.locale"),
        ("bill.issued", {**BILL, "recipient": {**RECIPIENT, "phone": 99112233}}, "recipient.phone"),
        *(("otp.requested", {**OTP, "code": code}, "code") for code in ("12a4", "482", SECRET, "4829\n", 482913, "")),
        ("otp.requested", {**OTP, "code": "٤٨٢٩"}, "code"),
        *(("otp.requested", {**OTP, "expires_in": validity}, "expires_in") for validity in (0, -1, 86_401, "300", 1.5)),
        ("otp.requested", {**OTP, "phone": None}, "phone"),
        ("otp.requested", {**OTP, "locale": "ru"}, "locale"),
        ("contract.signed", {**CONTRACT, "ends_on": "2026-02-30"}, "ends_on"),
        ("contract.signed", {**CONTRACT, "unit": SECRET * 9}, "unit"),
        ("notification.requested", {**NOTICE, "recipients": [RECIPIENT] * 1001}, "recipients"),
        ("notification.requested", {**NOTICE, "recipients": []}, "recipients"),
        ("notification.requested", {**NOTICE, "recipients": [RECIPIENT, {"user_id": SECRET}]}, "recipients.1.user_id"),
        ("notification.requested", {**NOTICE, "channels": []}, "channels"),
        ("notification.requested", {**NOTICE, "channels": ["inbox", SECRET]}, "channels.1"),
        ("notification.requested", {**NOTICE, "channels": "sms"}, "channels"),
        ("notification.requested", {**NOTICE, "title": SECRET * 9}, "title"),
        ("notification.requested", {**NOTICE, "body": SECRET * 99}, "body"),
        ("notification.requested", {**NOTICE, "critical": "yes"}, "critical"),
        ("sms_budget.set", {"owner_id": USER}, "monthly_segments"),
        ("sms_budget.set", {"owner_id": USER, "monthly_segments": -1}, "monthly_segments"),
        ("device.died", {**DEVICE, "resolved_at": "2026-11-23T09:00:00"}, "resolved_at"),
        ("device.died", {**DEVICE, "resolved_at": "1764892800"}, "resolved_at"),
    ],
)
def test_wrong_field_is_named_by_its_whole_path(kind: str, data: dict[str, Any], field: str) -> None:
    assert reason_for(envelope(kind, data)).startswith(f"wrong_data: data.{field}: ")


@pytest.mark.parametrize("field", BILL)
def test_missing_field_is_named(field: str) -> None:
    assert reason_for(envelope(data=without(BILL, field))) == f"wrong_data: data.{field}: Field required"


def test_every_wrong_field_is_named_at_once() -> None:
    reason = reason_for(envelope(data={**without(BILL, "month"), "amount": SECRET, "due_date": SECRET}))

    assert [part.split(":")[0] for part in reason.removeprefix("wrong_data: ").split("; ")] == [
        "data.month",
        "data.amount",
        "data.due_date",
    ]


@pytest.mark.parametrize("name", ["specversion", "id", "source", "type"])
def test_missing_attribute_is_named(name: str) -> None:
    assert reason_for(without(envelope(), name)) == f"wrong_data: {name}: Field required"


WRONG_ATTRIBUTES: dict[str, list[object]] = {
    "specversion": ["0.3", "1", 1.0, None],
    "id": ["", 4711, None, SECRET * 20],
    "source": ["", ["/billing"], None],
    "type": [7, None, [SECRET], {}],
    "time": ["yesterday", "", "2026-11-23", "2026-11-23T09:00:00", 1764892800, "1764892800"],
    "traceparent": [5],
}
BEYOND_THE_CALENDAR = ["9999-12-31T23:59:59-10:00", "0001-01-01T00:00:00+08:00"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, value) for name, values in WRONG_ATTRIBUTES.items() for value in values),
        *(("time", value) for value in BEYOND_THE_CALENDAR),
    ],
)
def test_wrong_attribute_is_named(name: str, value: object) -> None:
    assert reason_for({**envelope(), name: value}).startswith(f"wrong_data: {name}: ")


@pytest.mark.parametrize("kind", [SECRET, "", "bill", "BILL.ISSUED", "otp.requested.critical"])
def test_unknown_type_is_told_without_repeating_it(kind: str) -> None:
    assert reason_for(envelope(kind)) == "no_such_type: type: not a type of the catalogue"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe\x00",
        json.dumps(envelope()).encode("utf-16"),
        b"\xef\xbb\xbf" + json.dumps(envelope()).encode(),
        json.dumps(envelope()).encode()[:-1],
        b"<event>" + SECRET.encode() + b"</event>",
        b"[" * 100_000,
        json.dumps(envelope(deep="#")).replace('"#"', "[" * 5000 + "]" * 5000).encode(),
        json.dumps(envelope(huge="#")).replace('"#"', "9" * 5000).encode(),
        json.dumps(envelope(half="\ud83d")).encode(),
        json.dumps(envelope(data={**BILL, "bill_id": "\udc00"})).encode(),
        json.dumps(envelope(data={**BILL, "bill_id": "#"})).replace("#", "\x01").encode(),
    ],
    ids=[
        *("empty", "bytes", "utf-16", "byte order mark", "cut", "xml", "unclosed", "deep", "huge number"),
        *("lone surrogate", "lone surrogate in data", "control character"),
    ],
)
def test_what_is_not_json_is_told_as_such(body: bytes) -> None:
    assert reason_for(body) == "not_json: the body is not JSON"


@pytest.mark.parametrize("body", [b"null", b"[]", b"5", b'"text"', json.dumps([envelope()]).encode()])
def test_json_that_is_no_event_is_told_as_such(body: bytes) -> None:
    assert reason_for(body) == "wrong_data: event: Input should be an object"


@pytest.mark.parametrize("data", [None, [], SECRET, 5, [BILL]])
def test_data_must_be_an_object(data: object) -> None:
    assert reason_for(envelope(data=data)) == "wrong_data: data: Input should be an object"


def test_event_without_data_is_told_as_such() -> None:
    assert reason_for(without(envelope(), "data")) == "wrong_data: data: Field required"


@pytest.mark.parametrize("text", ["%%%", "ө", "YQ", 5, None, ["YQ=="]])
def test_wrong_base64_is_named(text: object) -> None:
    assert reason_for(without(envelope(data_base64=text), "data")) == "wrong_data: data_base64: not base64"


def test_base64_of_something_else_is_told_as_such() -> None:
    text = base64.b64encode(SECRET.encode()).decode()

    assert reason_for(without(envelope(data_base64=text), "data")) == "not_json: data is not JSON"


@pytest.mark.parametrize(
    ("event", "path"),
    [
        (envelope(data={**BILL, "bill_id": "A\x00B"}), "data.bill_id"),
        (envelope(data={**BILL, "recipient": {**RECIPIENT, "phone": "\x00"}}), "data.recipient.phone"),
        (envelope("notification.requested", {**NOTICE, "title": "Ус\x00"}), "data.title"),
        (
            envelope("notification.requested", {**NOTICE, "recipients": [RECIPIENT, {**RECIPIENT, "phone": "\x00"}]}),
            "data.recipients.1.phone",
        ),
        (envelope(id="\x00"), "id"),
        (envelope(source="/billing\x00"), "source"),
        (envelope(traceparent="\x00"), "traceparent"),
        (
            without(
                envelope(data_base64=base64.b64encode(json.dumps({**BILL, "bill_id": "\x00"}).encode()).decode()),
                "data",
            ),
            "data.bill_id",
        ),
    ],
)
def test_text_that_postgresql_cannot_hold_is_named(event: dict[str, Any], path: str) -> None:
    assert reason_for(event) == f"wrong_data: {path}: holds the character U+0000"


def test_words_that_look_like_an_escaped_nul_are_fine() -> None:
    body = json.dumps(envelope(data={**BILL, "bill_id": r"\u0000"})).encode()

    assert read(body, content_type=STRUCTURED, headers={}).data.model_dump()["bill_id"] == r"\u0000"


def test_body_over_a_mebibyte_is_not_even_parsed() -> None:
    assert reason_for(b" " * (MAX_BODY + 1)) == f"too_large: {MAX_BODY + 1} bytes, the limit is {MAX_BODY}"


def test_body_of_a_mebibyte_is_still_read() -> None:
    body = json.dumps(envelope()).encode()

    assert read(body + b" " * (MAX_BODY - len(body)), content_type=STRUCTURED, headers={}).id == SECRET


@pytest.mark.parametrize("prefix", ["cloudEvents_", "cloudEvents:"])
def test_wrong_binary_event_is_named_by_its_field(prefix: str) -> None:
    headers = {f"{prefix}{name}": value for name, value in without(envelope(), "data").items()}

    def told(data: bytes, **changed: Any) -> str:
        renamed = {f"{prefix}{name}": value for name, value in changed.items()}
        return reason_for(data, "application/json", **{**headers, **renamed})

    bill = json.dumps(BILL).encode()
    assert told(b"\xff") == "not_json: data is not JSON"
    assert told(json.dumps({**BILL, "amount": SECRET}).encode()).startswith("wrong_data: data.amount: ")
    assert told(bill, id=None) == "wrong_data: id: Field required"
    assert told(bill, specversion="0.3").startswith("wrong_data: specversion: ")
    assert told(bill, type=b"mn.spacehub." + SECRET.encode()).startswith("no_such_type: ")
    assert told(bill, source="\x00") == "wrong_data: source: holds the character U+0000"
    assert told(bill, time=b"\xff\xff").startswith("wrong_data: time: ")
    assert told(bill, source="\ud83d") == "not_json: the body is not JSON"


@pytest.mark.parametrize("sample", sorted(SAMPLES.glob("*.json")), ids=lambda sample: sample.name)
def test_samples_are_events_except_the_one_that_is_not(sample: Path) -> None:
    body = sample.read_bytes()

    if sample.name == UNREADABLE_SAMPLE:
        assert reason_for(body) == "wrong_data: data.amount: Input should be a valid integer"
    else:
        assert read(body, content_type=STRUCTURED, headers={}).id == json.loads(body)["id"]


def test_there_are_samples() -> None:
    assert UNREADABLE_SAMPLE in {sample.name for sample in SAMPLES.glob("*.json")}
    assert len(list(SAMPLES.glob("*.json"))) >= 9
