"""Until when each message makes sense, by a table of cases in the time of Ulaanbaatar."""

from datetime import UTC, date, datetime, timedelta

import pytest
from inbox_api.expiry import expires_at
from inbox_api.testing import OWNER, announcement, bill, expiring, otp, overdue, payment
from spacehub.events import facts
from spacehub.events.facts import Fact
from spacehub.quiet_hours import ULAANBAATAR

THRESHOLD = facts.SmsBudgetThresholdReached(owner_id=OWNER, month="2026-11", level=80, used=4, limit=5)


def local(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ULAANBAATAR)


@pytest.mark.parametrize(
    ("fact", "happened", "received", "goes", "expires"),
    [
        (otp(), "2026-11-23T12:00:00", "2026-11-23T12:00:01", None, "2026-11-23T12:05:00"),
        (otp(expires_in=90), "2026-11-23T12:00:00", "2026-11-23T12:04:00", None, "2026-11-23T12:01:30"),
        (otp(), "2026-11-23T12:10:00", "2026-11-23T12:00:00", None, "2026-11-23T12:05:00"),
        (bill(), "2026-11-23T09:00:00", "2026-11-23T09:00:00", None, "2026-12-06T00:00:00"),
        (bill(), "2026-11-23T09:00:00", "2026-12-04T23:59:59", None, "2026-12-06T00:00:00"),
        (bill(), "2026-11-23T09:00:00", "2026-12-05T00:00:00", None, "2026-12-06T00:00:00"),
        (bill(), "2026-11-23T09:00:00", "2026-12-05T00:00:01", None, "2026-12-06T00:00:01"),
        (bill(), "2026-11-23T09:00:00", "2026-12-31T23:00:00", "2027-01-01T08:00:00", "2027-01-01T23:00:00"),
        (bill(due_date=date(2028, 2, 29)), "2028-02-01T09:00:00", "2028-02-01T09:00:00", None, "2028-03-01T00:00:00"),
        (bill(due_date=date.max), "2026-11-23T09:00:00", "2026-11-23T09:00:00", None, "9999-12-31T23:59:59.999999"),
        (overdue(), "2026-11-23T10:00:00", "2026-11-23T10:00:00", None, "2026-11-26T10:00:00"),
        (payment(), "2026-11-20T10:00:00", "2026-11-23T10:00:00", None, "2026-11-24T10:00:00"),
        (payment(), "2026-11-23T23:00:00", "2026-11-23T23:00:00", "2026-11-24T08:05:00", "2026-11-24T23:00:00"),
        (expiring(), "2026-11-22T10:00:00", "2026-11-22T10:00:00", None, "2026-11-28T00:00:00"),
        (announcement(), "2026-11-20T10:00:00", "2026-11-23T10:00:00", None, "2026-11-24T10:00:00"),
        (announcement(), "2026-11-23T23:00:00", "2026-11-23T23:00:00", "2026-11-24T08:05:00", "2026-11-25T08:05:00"),
        (THRESHOLD, "2026-11-23T10:00:00", "2026-11-23T10:00:00", None, "2026-11-24T10:00:00"),
    ],
)
def test_message_makes_sense_until(fact: Fact, happened: str, received: str, goes: str | None, expires: str) -> None:
    until = expires_at(fact, happened_at=local(happened), received_at=local(received), goes_at=local(goes or received))

    assert until == local(expires)


def test_days_end_in_ulaanbaatar_whatever_the_zone_of_the_receipt() -> None:
    evening_before_in_utc = datetime(2026, 11, 22, 20, 0, tzinfo=UTC)

    until = expires_at(
        bill(due_date=date(2026, 11, 24)),
        happened_at=evening_before_in_utc,
        received_at=evening_before_in_utc,
        goes_at=evening_before_in_utc,
    )

    assert until == datetime(2026, 11, 24, 16, 0, tzinfo=UTC)
    assert until.utcoffset() == timedelta(hours=8)
