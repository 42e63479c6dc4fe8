"""Requests as inbox-api makes them."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from spacehub.events.requests import SmsRequested


def bill(**changes: Any) -> SmsRequested:
    """A bill's SMS, valid for a day."""
    asked: dict[str, Any] = {
        "source": "/billing",
        "source_id": "bill-event-1",
        "about": "bill.issued",
        "critical": False,
        "expires_at": datetime.now(UTC) + timedelta(days=1),
        "user_id": uuid4(),
        "owner_id": uuid4(),
        "subject": "bill:1",
        "sms_id": uuid4(),
        "phone": "9911-2233",
        "text": "11-р сарын төлбөр: ₮1,250,000. 2026-12-05-ийн дотор төлнө үү.",
    }
    return SmsRequested(**asked | changes)


def otp(**changes: Any) -> SmsRequested:
    """An OTP's SMS, valid for five minutes."""
    asked: dict[str, Any] = {
        "source": "/auth",
        "source_id": "otp-event-1",
        "about": "otp.requested",
        "critical": True,
        "expires_at": datetime.now(UTC) + timedelta(minutes=5),
        "sms_id": uuid4(),
        "phone": "99112233",
        "text": "Spacehub код: 483920. 5 мин дотор оруулна уу.",
    }
    return SmsRequested(**asked | changes)


def numbered(make: Callable[..., SmsRequested], count: int) -> list[SmsRequested]:
    """Requests that differ by their texts and phones."""
    return [make(text=f"{make.__name__} {number} {uuid4()}", phone=f"9911{number:04d}") for number in range(count)]
