"""Every event reads back what was written, in each form in which AMQP carries CloudEvents."""

import base64
import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spacehub.events.catalogue import BY_TYPE, FACTS, REQUESTS
from spacehub.events.envelope import MAX_BODY, STRUCTURED, Event, read, write
from spacehub.events.facts import BillCancelled, Fact, NotificationRequested, OtpRequested, UserUpdated
from spacehub.testing.strategies import TEXT, facts, moments

CANCELLED = {"bill_id": "A-1", "colour": "blue"}
NAMES = st.text(TEXT, min_size=1, max_size=255)


def attributes(**more: Any) -> dict[str, Any]:
    return {"specversion": "1.0", "id": "e-1", "source": "/billing", "type": "mn.spacehub.bill.cancelled", **more}


def binary(prefix: str, **values: Any) -> Event:
    headers = {f"{prefix}{name}": value for name, value in attributes(**values).items()}
    return read(json.dumps(CANCELLED).encode(), content_type="application/json", headers=headers)


@pytest.mark.parametrize("model", [*FACTS, *REQUESTS], ids=lambda model: model.type)
@settings(max_examples=40, deadline=None)
@given(drawn=st.data())
def test_every_type_reads_back_what_it_wrote(model: type[Fact], drawn: st.DataObject) -> None:
    event = Event(
        id=drawn.draw(NAMES),
        source=drawn.draw(NAMES),
        data=drawn.draw(facts(model)),
        time=drawn.draw(st.none() | moments()),
        traceparent=drawn.draw(st.none() | st.text(TEXT)),
    )

    message = write(event)
    again = read(message.body, content_type=message.content_type, headers={})

    assert again == event
    assert again.data.model_fields_set == event.data.model_fields_set
    assert message.id == event.id


def test_catalogue_holds_every_type_that_was_agreed() -> None:
    agreed = """
        otp.requested bill.issued bill.cancelled payment.confirmed bill.overdue contract.signed contract.ended
        contract.expiring user.updated user.deleted notification.requested sms_budget.set sms_budget.threshold_reached
        devices.prune_due retention.due sms.sent sms.failed sms.expired sms.blocked sms.unknown push.sent push.failed
        device.died
    """

    assert {model.type for model in FACTS} == set(agreed.split())
    assert len(BY_TYPE) == len(FACTS) + len(REQUESTS)


def test_written_events_are_plain_cloudevents() -> None:
    written = write(Event("e-1", "/billing", BillCancelled(bill_id="Зайсан"), datetime(2026, 11, 23, 1, tzinfo=UTC)))

    assert json.loads(written.body) == {
        "specversion": "1.0",
        "id": "e-1",
        "source": "/billing",
        "type": "mn.spacehub.bill.cancelled",
        "time": "2026-11-23T01:00:00Z",
        "datacontenttype": "application/json",
        "data": {"bill_id": "Зайсан"},
    }
    assert "Зайсан".encode() in written.body
    assert written.content_type.split(";")[0] == STRUCTURED
    assert written.routing_key == "bill.cancelled"


def test_key_that_was_absent_stays_absent() -> None:
    forgets_the_phone = UserUpdated(user_id=UUID(int=1), phone=None)

    again = read(write(Event("e-1", "/identity", forgets_the_phone)).body, content_type=STRUCTURED, headers={})

    assert again.data.model_fields_set == {"user_id", "phone"}


def test_critical_notifications_have_a_routing_key_of_their_own() -> None:
    urgent = {"recipients": [{"user_id": str(UUID(int=1))}], "title": "Ус", "body": "Хаана", "channels": ["inbox"]}
    body = json.dumps(attributes(type="mn.spacehub.notification.requested", data={**urgent, "critical": True}))

    event = read(body.encode(), content_type=STRUCTURED, headers={})

    assert isinstance(event.data, NotificationRequested)
    assert write(event).routing_key == "notification.requested.critical"


@pytest.mark.parametrize(
    "content_type", [STRUCTURED, "Application/CloudEvents+JSON ; charset=utf-8", "application/json", None]
)
def test_structured_events_are_read_whatever_their_content_type_says(content_type: str | None) -> None:
    event = read(json.dumps(attributes(data=CANCELLED)).encode(), content_type=content_type, headers={"x-other": 1})

    assert event == Event("e-1", "/billing", BillCancelled(bill_id="A-1"))


def test_structured_content_type_wins_over_headers_that_look_binary() -> None:
    body = json.dumps(attributes(data=CANCELLED)).encode()

    event = read(body, content_type=STRUCTURED, headers={"cloudEvents_id": "another"})

    assert event.id == "e-1"


@pytest.mark.parametrize("prefix", ["cloudEvents_", "cloudEvents:"])
def test_binary_events_are_read_with_both_header_prefixes(prefix: str) -> None:
    assert binary(prefix) == Event("e-1", "/billing", BillCancelled(bill_id="A-1"))


@pytest.mark.parametrize(
    "time",
    [
        "2026-11-23T09:00:00+08:00",
        b"2026-11-23T01:00:00Z",
        bytearray(b"2026-11-23T01:00:00Z"),
        datetime(2026, 11, 23, 1, tzinfo=UTC),
        datetime(2026, 11, 23, 1),
    ],
    ids=["text", "bytes", "byte array", "timestamp", "plain timestamp"],
)
def test_binary_time_is_read_from_every_kind_of_header(time: object) -> None:
    assert binary("cloudEvents_", time=time).time == datetime(2026, 11, 23, 1, tzinfo=UTC)


def test_binary_identity_may_come_as_bytes_or_as_a_number() -> None:
    event = binary("cloudEvents:", id=4711, source="/орон сууц".encode(), time=None, ignored=[1, {"a": None}])

    assert (event.id, event.source, event.time) == ("4711", "/орон сууц", None)


def test_data_may_come_as_base64() -> None:
    data = base64.b64encode(json.dumps(CANCELLED).encode()).decode()

    event = read(json.dumps(attributes(data_base64=data)).encode(), content_type=STRUCTURED, headers={})

    assert event.data == BillCancelled(bill_id="A-1")


def test_unknown_keys_are_ignored_wherever_they_stand() -> None:
    recipient = {"user_id": str(UUID(int=1)), "nickname": "\x00"}
    data = {
        **{"recipients": [recipient], "title": "Ус", "body": "Хаана", "channels": ["push"]},
        **{"colour": {"deep": [[1.5, None]]}, "nul": "\x00"},
    }
    body = json.dumps(attributes(type="mn.spacehub.notification.requested", data=data, partitionkey="7", subject=3))

    event = read(body.encode(), content_type=STRUCTURED, headers={})

    assert event.data.model_dump(exclude_unset=True) == {
        "recipients": ({"user_id": UUID(int=1)},),
        "title": "Ус",
        "body": "Хаана",
        "channels": frozenset({"push"}),
    }


def test_absent_validity_of_a_code_is_five_minutes() -> None:
    body = json.dumps(attributes(type="mn.spacehub.otp.requested", data={"phone": "99112233", "code": "4829"}))

    event = read(body.encode(), content_type=STRUCTURED, headers={})

    assert isinstance(event.data, OtpRequested)
    assert event.data.expires_in == 300


def test_largest_event_allowed_fits_the_limit() -> None:
    recipients = [{"user_id": str(UUID(int=number)), "phone": "+" * 64, "locale": "mn"} for number in range(1000)]
    texts = {"title": "ү" * 100, "body": "ө" * 500, "link": "https://spacehub.mn/" + "x" * 1980}
    data = {"recipients": recipients, "channels": ["inbox", "push", "sms"], **texts}
    body = json.dumps(attributes(type="mn.spacehub.notification.requested", data=data)).encode()

    event = read(body, content_type=STRUCTURED, headers={})

    assert isinstance(event.data, NotificationRequested)
    assert len(event.data.recipients) == 1000
    assert len(body) < MAX_BODY / 4
