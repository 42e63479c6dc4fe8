"""In quiet hours a code goes at once, a bill waits, and nothing delayed by an outage slips out at night."""

import json
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4
from zoneinfo import ZoneInfo

import aio_pika
import pytest
from spacehub.testing.waiting import eventually
from spacehub_dev.launcher.system import running_system

from tests.journeys.outsider import Outsider, person
from tests.journeys.test_use_cases import bill

HERE = ZoneInfo("Asia/Ulaanbaatar")


@pytest.fixture(scope="module")
async def night(server_directory: Path) -> AsyncIterator[Outsider]:
    """An outsider of a system for which it is night now, for some hours still."""
    now = datetime.now(HERE)
    window = f"{now - timedelta(hours=1):%H:%M}-{now + timedelta(hours=6):%H:%M}"
    async with (
        running_system(
            server_directory / "night",
            report=print,
            label="night",
            keep_data=False,
            environment={**os.environ, "QUIET_HOURS": window},
        ) as system,
        Outsider.of(system.endpoints.content()) as outsider,
    ):
        yield outsider


async def test_a_code_goes_at_once_and_a_bill_waits_for_the_morning(night: Outsider, phone: str) -> None:
    tenant = person(phone)

    bill_event = await night.tell("bill.issued", bill(month="2026-11", recipient=tenant))
    code_event = await night.tell("otp.requested", {"phone": phone, "code": "482913"})

    await eventually(lambda: night.ended(code_event))
    assert await night.texts_to(f"976{phone}") == ["Spacehub код: 482913. 5 мин дотор оруулна уу."]
    waiting = await eventually(lambda: night.deliveries_of(bill_event))
    assert waiting["sms"] == ("pending", None)
    assert waiting["push"] == ("pending", None)
    assert waiting["inbox"] == ("sent", None)
    [row] = await night.rows("inbox", "SELECT available_at FROM outbox WHERE user_id = $1 LIMIT 1", tenant["user_id"])
    assert row["available_at"] > datetime.now(UTC) + timedelta(hours=5)


async def test_its_payment_withdraws_the_bill_that_waits(night: Outsider, phone: str) -> None:
    tenant, owed = person(phone), bill(month="2026-11")
    event = await night.tell("bill.issued", {**owed, "recipient": tenant})
    await eventually(lambda: night.deliveries_of(event))

    await night.tell(
        "payment.confirmed",
        {
            "payment_id": "p-9",
            "bill_id": owed["bill_id"],
            "owner_id": owed["owner_id"],
            "recipient": tenant,
            "amount": 1,
        },
    )

    ends = await eventually(lambda: night.ended(event))
    assert ends["sms"] == ("suppressed", "withdrawn")
    assert ends["push"] == ("suppressed", "withdrawn")


async def test_what_had_left_for_the_broker_before_the_night_is_not_sent_in_it(night: Outsider, phone: str) -> None:
    request = _sms_request(phone)
    deliveries = await night.channel.get_exchange("spacehub.deliveries")

    await deliveries.publish(
        aio_pika.Message(json.dumps(request).encode(), content_type="application/cloudevents+json"), "sms.standard"
    )
    code_event = await night.tell("otp.requested", {"phone": phone, "code": "7391"})

    await eventually(lambda: night.ended(code_event))
    assert await night.texts_to(f"976{phone}") == ["Spacehub код: 7391. 5 мин дотор оруулна уу."]
    queue = await night.channel.declare_queue("sms-sender.standard", passive=True)
    assert queue.declaration_result.message_count == 1


def _sms_request(phone: str) -> dict[str, object]:
    """A request as inbox-api wrote it in the evening."""
    number = str(uuid4())
    return {
        "specversion": "1.0",
        "id": number,
        "source": "/inbox-api",
        "type": "mn.spacehub.sms.requested",
        "data": {
            "source": "/journey",
            "source_id": number,
            "about": "bill.issued",
            "critical": False,
            "expires_at": (datetime.now(UTC) + timedelta(days=3)).isoformat(),
            "sms_id": number,
            "phone": phone,
            "text": "Төлбөрийн хугацаа хэтэрсэн: ₮1.",
        },
    }
