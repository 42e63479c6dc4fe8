"""The use cases, from the event to the phone, to the letter."""

import asyncio
import json
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from spacehub.testing.waiting import eventually

from tests.journeys.outsider import Outsider, person

OWNER = "7c2de0aa-0d2b-4b62-8d77-5a1b3e6f2b01"
DUE = (datetime.now(UTC).date() + timedelta(days=20)).isoformat()


def bill(**more: Any) -> dict[str, Any]:
    return {"bill_id": f"bill-{uuid4()}", "owner_id": OWNER, "amount": 1_250_000, "due_date": DUE, **more}


def lease(**more: Any) -> dict[str, Any]:
    return {
        "contract_id": f"c-{uuid4()}",
        "owner_id": OWNER,
        "property": "Зайсан Плаза",
        "unit": "1201",
        "ends_on": DUE,
        **more,
    }


CASES = [
    ("otp.requested", {"code": "482913"}, "mn", "Spacehub код: 482913. 5 мин дотор оруулна уу."),
    ("otp.requested", {"code": "0042", "expires_in": 600}, "mn", "Spacehub код: 0042. 10 мин дотор оруулна уу."),
    ("otp.requested", {"code": "482913"}, "en", "Spacehub code: 482913. Enter it within 5 min."),
    ("bill.issued", bill(month="2026-11"), "mn", f"11-р сарын төлбөр: ₮1,250,000. {DUE}-ийн дотор төлнө үү."),
    ("bill.issued", bill(month="2026-11"), "en", f"November bill: ₮1,250,000. Please pay by {DUE}."),
    ("bill.issued", bill(month="2026-02", amount=0), "mn", f"2-р сарын төлбөр: ₮0. {DUE}-ийн дотор төлнө үү."),
    ("payment.confirmed", bill(payment_id="p1"), "mn", "Төлбөр ₮1,250,000 хүлээн авлаа. Баярлалаа."),
    ("payment.confirmed", bill(payment_id="p2"), "en", "Payment of ₮1,250,000 received. Thank you."),
    ("bill.overdue", bill(amount=98_500), "mn", "Төлбөрийн хугацаа хэтэрсэн: ₮98,500."),
    ("bill.overdue", bill(amount=98_500), "en", "Payment overdue: ₮98,500."),
    ("contract.expiring", lease(), "mn", f"Таны Зайсан Плаза 1201 тооцоо {DUE}-нд дуусна."),
    ("contract.expiring", lease(), "en", f"Your Зайсан Плаза 1201 contract ends on {DUE}."),
]


@pytest.mark.parametrize(("short_type", "data", "locale", "text"), CASES)
async def test_the_phone_gets_the_text_to_the_letter(
    outsider: Outsider, phone: str, short_type: str, data: dict[str, Any], locale: str, text: str
) -> None:
    whom = {"locale": locale, "phone": phone} if short_type == "otp.requested" else {}
    recipient = {} if whom else {"recipient": person(phone, locale=locale)}

    event = await outsider.tell(short_type, {**data, **whom, **recipient})

    ends = await eventually(lambda: outsider.ended(event))
    assert await outsider.texts_to(f"976{phone}") == [text]
    assert ends["sms"] == ("sent", None)


@pytest.mark.parametrize(
    "spelling",
    ["{}{}", "{} {}", "{}-{}", "{}.{}", "({}) {}", "+976{}{}", "+976 {}-{}", "00976{}{}", "976{}{}", " 0{} {} "],
)
async def test_every_spelling_of_a_number_arrives_as_one(outsider: Outsider, phone: str, spelling: str) -> None:
    event = await outsider.tell(
        "bill.issued", bill(month="2026-11", recipient=person(spelling.format(phone[:4], phone[4:])))
    )

    await eventually(lambda: outsider.ended(event))
    assert len(await outsider.texts_to(f"976{phone}")) == 1


@pytest.mark.parametrize("number", ["70112233", "7711 2233", "+7 912 345 67 89", "12345", "abc", "+1 202 555 0147"])
async def test_a_number_that_gets_no_sms_is_refused_without_a_call(outsider: Outsider, number: str) -> None:
    before = await _accepted(outsider)

    event = await outsider.tell("bill.issued", bill(month="2026-11", recipient=person(number)))

    ends = await eventually(lambda: outsider.ended(event))
    assert ends["sms"] == ("failed", "invalid_phone")
    assert await _accepted(outsider) == before


async def test_the_stored_phone_and_locale_serve_events_that_name_none(outsider: Outsider, phone: str) -> None:
    someone = person()
    await outsider.tell("user.updated", {"user_id": someone["user_id"], "phone": phone, "locale": "en"})

    event = await outsider.tell("payment.confirmed", bill(payment_id="p3", recipient=someone))

    await eventually(lambda: outsider.ended(event))
    assert await outsider.texts_to(f"976{phone}") == ["Payment of ₮1,250,000 received. Thank you."]


async def test_twenty_copies_of_an_event_at_once_send_one_sms(outsider: Outsider, phone: str) -> None:
    event = outsider.event("bill.issued", bill(month="2026-11", recipient=person(phone)))

    await asyncio.gather(*(outsider.publish(event) for _ in range(20)))

    await eventually(lambda: outsider.ended(event["id"]))
    later = await outsider.tell("bill.issued", bill(month="2026-11", recipient=person(phone)))
    await eventually(lambda: outsider.ended(later))
    assert len(await outsider.texts_to(f"976{phone}")) == 2


async def test_a_code_that_came_too_late_is_not_sent_and_who_asked_for_it_hears_so(
    outsider: Outsider, phone: str
) -> None:
    long_ago = (datetime.now(UTC) - timedelta(minutes=6)).isoformat()
    told = await outsider.channel.declare_queue(exclusive=True)
    await told.bind("spacehub.events", "sms.expired")

    async def heard() -> str | None:
        message = await told.get(no_ack=True, fail=False)
        return str(json.loads(message.body)["data"]["source_id"]) if message else None

    event = await outsider.tell("otp.requested", {"phone": phone, "code": "482913"}, time=long_ago)

    assert await eventually(heard) == event
    assert await eventually(lambda: outsider.ended(event)) == {"sms": ("expired", "expired")}
    assert await outsider.texts_to(f"976{phone}") == []


async def test_a_leap_day_is_a_date_like_any_other(outsider: Outsider, phone: str) -> None:
    event = await outsider.tell(
        "bill.issued", bill(month="2028-02", due_date=date(2028, 2, 29).isoformat(), recipient=person(phone))
    )

    await eventually(lambda: outsider.ended(event))
    assert await outsider.texts_to(f"976{phone}") == ["2-р сарын төлбөр: ₮1,250,000. 2028-02-29-ийн дотор төлнө үү."]


async def _accepted(outsider: Outsider) -> int:
    answer = await outsider.http.get(f"{outsider.endpoints['sms_simulator_url']}/control/messages")
    return int(answer.json()["next"])
