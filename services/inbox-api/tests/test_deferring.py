"""In quiet hours what may wait waits until they end; what is critical and the inbox do not."""

from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest
from inbox_api.testing import (
    BAT,
    Inbox,
    announcement,
    bill,
    event,
    expiring,
    otp,
    payment,
)
from spacehub.events import facts
from spacehub.events.facts import Fact, Recipient
from spacehub.quiet_hours import parse

NIGHT = datetime(2026, 11, 23, 15, 0, tzinfo=UTC)
"""Eleven at night in Ulaanbaatar."""

MORNING = datetime(2026, 11, 24, 0, 0, tzinfo=UTC)
"""Eight in the morning, when the quiet hours end."""


@pytest.fixture
def night(inbox: Inbox) -> Inbox:
    inbox.goes_by(quiet_hours=parse("22:00-08:00"), channels=frozenset({"inbox", "push", "sms"}))
    inbox.now = NIGHT
    return inbox


async def due(inbox: Inbox) -> dict[str, datetime]:
    rows = await inbox.rows("SELECT routing_key, available_at FROM outbox")
    return {row["routing_key"]: row["available_at"] for row in rows}


async def test_bill_at_night_appears_at_once_and_speaks_up_in_the_morning(night: Inbox) -> None:
    await night.takes(event(bill()))

    [row] = await night.feed(BAT)
    assert row["created_at"] == NIGHT
    waiting = await due(night)
    assert set(waiting) == {"sms.standard", "push.standard"}
    assert all(MORNING <= moment < MORNING + timedelta(minutes=10) for moment in waiting.values())


async def test_delivery_says_until_when_it_was_deferred(night: Inbox) -> None:
    await night.takes(event(bill()))

    rows = await night.rows("SELECT channel, available_at FROM deliveries")
    waiting = await due(night)
    assert {row["channel"]: row["available_at"] for row in rows} == {
        "inbox": None,
        "push": waiting["push.standard"],
        "sms": waiting["sms.standard"],
    }


@pytest.mark.parametrize("fact", [otp(), announcement(critical=True)])
async def test_what_is_critical_goes_at_once(night: Inbox, fact: Fact) -> None:
    await night.takes(event(fact))

    assert await night.rows("SELECT 1 FROM outbox WHERE available_at > now()") == []
    assert await night.rows("SELECT 1 FROM deliveries WHERE available_at IS NOT NULL") == []


@pytest.mark.parametrize("hour", [8, 12, 21])
async def test_by_day_everything_goes_at_once(night: Inbox, hour: int) -> None:
    night.now = MORNING + timedelta(hours=hour - 8)

    await night.takes(event(bill()))

    assert await night.rows("SELECT 1 FROM deliveries WHERE available_at IS NOT NULL") == []


async def test_morning_is_spread_over_some_minutes_and_each_keeps_its_moment(night: Inbox) -> None:
    crowd = [Recipient(user_id=UUID(int=number), phone=f"9911{number:04}") for number in range(200)]
    told = event(announcement(*crowd, channels={"sms"}))

    await night.takes(told)

    rows = await night.rows("SELECT id, available_at FROM deliveries")
    minutes = {(row["available_at"] - MORNING) // timedelta(minutes=1) for row in rows}
    assert minutes == set(range(10))
    assert all(row["available_at"] == MORNING + timedelta(seconds=row["id"].int % 600) for row in rows)


async def test_requested_notification_counts_its_day_from_the_morning(night: Inbox) -> None:
    await night.takes(event(announcement(channels={"sms"})))

    [delivery] = await night.rows("SELECT available_at, expires_at FROM deliveries")
    assert delivery["expires_at"] == delivery["available_at"] + timedelta(days=1)


async def test_what_would_be_stale_in_the_morning_ends_now_but_for_its_inbox_row(night: Inbox) -> None:
    await night.takes(event(expiring(ends_on=date(2026, 11, 23))))

    assert await night.deliveries() == [("inbox", "sent"), ("push", "expired expired"), ("sms", "expired expired")]
    assert await night.requests() == []


async def test_payment_at_night_withdraws_the_bill_that_waits_for_the_morning(night: Inbox) -> None:
    await night.takes(event(bill(), id="bill"))

    await night.takes(event(payment(), id="paid"))

    assert {sms.source_id for sms in await night.sms()} == {"paid"}
    assert ("sms", "suppressed withdrawn") in await night.deliveries("bill")


async def test_deleted_user_gets_nothing_in_the_morning(night: Inbox) -> None:
    await night.takes(event(payment()), event(announcement()))

    await night.takes(event(facts.UserDeleted(user_id=BAT)))

    assert await night.requests() == []


async def test_request_says_when_it_was_to_go_out(night: Inbox) -> None:
    earlier = NIGHT - timedelta(minutes=3)

    await night.takes(event(bill(), at=earlier), event(otp(), at=earlier))

    waiting = await due(night)
    told = {request.data.routing_key: getattr(request.data, "due_at", None) for request in await night.requests()}
    assert told == waiting | {"sms.critical": earlier}
