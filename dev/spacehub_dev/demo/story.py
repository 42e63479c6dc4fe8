"""What the demo tells: sample events of other domains, and exactly what each must cause.

Dates are made from today's, ids and people afresh, so the story can be told on any day, at any hour, twice.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4
from zoneinfo import ZoneInfo

from spacehub_dev.demo.people import Person

SAMPLES = Path(__file__).parents[3] / "docs" / "events" / "samples"
HERE = ZoneInfo("Asia/Ulaanbaatar")

Channel = Literal["sms", "push", "inbox", "stream", "dead letter"]


@dataclass(frozen=True, slots=True)
class Expected:
    """One message that must arrive: by which channel, at which phone, device, user or queue, with what."""

    channel: Channel
    to: str
    text: str


@dataclass(frozen=True, slots=True)
class Scene:
    """One event and everything it must cause."""

    title: str
    event: Mapping[str, Any]
    expected: tuple[Expected, ...]


def story(bat: Person, sarah: Person, dorj: Person) -> list[Scene]:
    """The scenes, in the order of publication: Bat and Dorj read Mongolian, Sarah English."""
    now = datetime.now(HERE)
    due = (now + timedelta(days=12)).date().isoformat()
    month = now.strftime("%Y-%m")
    soon = (now + timedelta(days=4)).date().isoformat()
    past_due = (now - timedelta(days=9)).date().isoformat()
    last_month = now.replace(day=1) - timedelta(days=1)
    paid = f"bill-{uuid4()}"
    months = f"{now.month}-р сарын", now.strftime("%B")

    def event(sample: str, **data: Any) -> dict[str, Any]:
        envelope = json.loads((SAMPLES / sample).read_text(encoding="utf-8"))
        envelope |= {"id": str(uuid4()), "time": datetime.now(HERE).isoformat()}
        envelope["data"] |= data
        return dict(envelope)

    def shown(person: Person, text: str) -> tuple[Expected, ...]:
        pushes = (Expected("push", device.token, text) for device in person.devices if device.alive)
        live = (Expected("stream", person.user_id, text),) if person.watches else ()
        return Expected("inbox", person.user_id, text), *live, *pushes

    def told(person: Person, text: str) -> tuple[Expected, ...]:
        return Expected("sms", person.address, text), *shown(person, text)

    def bill_id() -> str:
        return f"bill-{uuid4()}"

    unreadable = "wrong_data: data.amount: Input should be a valid integer"
    announcement = "Маргааш 10:00–14:00 цагт засварын улмаас халуун ус хаана."
    return [
        Scene(
            "a tenant asks for a code",
            event("01-otp-requested.json", phone=bat.phone, code="482913"),
            (Expected("sms", bat.address, "Spacehub код: 482913. 5 мин дотор оруулна уу."),),
        ),
        Scene(
            "a bill, in Mongolian",
            event(
                "02-bill-issued.json",
                bill_id=bill_id(),
                recipient=bat.recipient("{} {}"),
                month=month,
                amount=1_250_000,
                due_date=due,
            ),
            told(bat, f"{months[0]} төлбөр: ₮1,250,000. {due}-ийн дотор төлнө үү."),
        ),
        Scene(
            "a bill, in English",
            event(
                "03-bill-issued-english.json",
                bill_id=bill_id(),
                recipient=sarah.recipient("+976 {}-{}", locale="en"),
                month=month,
                amount=450_000,
                due_date=due,
            ),
            told(sarah, f"{months[1]} bill: ₮450,000. Please pay by {due}."),
        ),
        Scene(
            "a payment is confirmed",
            event(
                "04-payment-confirmed.json",
                payment_id=str(uuid4()),
                bill_id=bill_id(),
                recipient=bat.recipient("{}.{}"),
            ),
            told(bat, "Төлбөр ₮1,250,000 хүлээн авлаа. Баярлалаа."),
        ),
        Scene(
            "a bill whose due date has passed",
            event(
                "05-bill-overdue-source.json",
                bill_id=bill_id(),
                recipient=dorj.recipient("00976{}{}"),
                month=last_month.strftime("%Y-%m"),
                due_date=past_due,
            ),
            (
                *told(
                    dorj,
                    f"{last_month.month}-р сарын төлбөр: ₮98,500. {past_due}-ийн дотор төлнө үү.",
                ),
                *told(dorj, "Төлбөрийн хугацаа хэтэрсэн: ₮98,500."),
            ),
        ),
        Scene(
            "a payment that overtakes its bill",
            event(
                "04-payment-confirmed.json",
                payment_id=str(uuid4()),
                bill_id=paid,
                recipient=dorj.recipient("{}{}"),
                amount=45_000,
            ),
            told(dorj, "Төлбөр ₮45,000 хүлээн авлаа. Баярлалаа."),
        ),
        Scene(
            "that bill: paid, so neither it nor its reminder comes",
            event(
                "05-bill-overdue-source.json",
                bill_id=paid,
                recipient=dorj.recipient("{}{}"),
                amount=45_000,
                due_date=past_due,
            ),
            (),
        ),
        Scene(
            "a contract signed that ends soon",
            event(
                "06-contract-signed.json",
                contract_id=str(uuid4()),
                recipient=bat.recipient("({}) {}"),
                ends_on=soon,
            ),
            told(bat, f"Таны Зайсан Плаза 1201 тооцоо {soon}-нд дуусна."),
        ),
        Scene(
            "an announcement to the house",
            event(
                "08-notification-requested.json",
                recipients=[person.recipient("{}{}") for person in (bat, sarah, dorj)],
            ),
            tuple(expected for person in (bat, sarah, dorj) for expected in shown(person, announcement)),
        ),
        Scene(
            "an event nobody can read",
            event("09-unreadable-amount.json"),
            (Expected("dead letter", "inbox-api.standard.dead", unreadable),),
        ),
    ]
