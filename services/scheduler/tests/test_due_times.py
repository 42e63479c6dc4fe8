"""Each moment is right to the second, whatever the calendar does."""

from datetime import UTC, date, datetime

import pytest
from scheduler.due_times import expiring_at, over_at, overdue_at


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.mark.parametrize(
    ("due_date", "overdue"),
    [
        ("2026-11-24", "2026-11-25T10:00:00+08:00"),
        ("2026-11-25", "2026-11-26T10:00:00+08:00"),
        ("2026-11-30", "2026-12-01T10:00:00+08:00"),
        ("2026-12-31", "2027-01-01T10:00:00+08:00"),
        ("2027-02-28", "2027-03-01T10:00:00+08:00"),
        ("2028-02-28", "2028-02-29T10:00:00+08:00"),
        ("2028-02-29", "2028-03-01T10:00:00+08:00"),
    ],
)
def test_bill_is_overdue_at_ten_on_the_day_after_its_due_date(due_date: str, overdue: str) -> None:
    assert overdue_at(date.fromisoformat(due_date)) == at(overdue)


@pytest.mark.parametrize(
    ("ends_on", "expiring", "over"),
    [
        ("2026-11-29", "2026-11-24T10:00:00+08:00", "2026-11-30T00:00:00+08:00"),
        ("2026-12-05", "2026-11-30T10:00:00+08:00", "2026-12-06T00:00:00+08:00"),
        ("2026-12-31", "2026-12-26T10:00:00+08:00", "2027-01-01T00:00:00+08:00"),
        ("2027-01-03", "2026-12-29T10:00:00+08:00", "2027-01-04T00:00:00+08:00"),
        ("2027-03-05", "2027-02-28T10:00:00+08:00", "2027-03-06T00:00:00+08:00"),
        ("2028-03-05", "2028-02-29T10:00:00+08:00", "2028-03-06T00:00:00+08:00"),
        ("2028-02-29", "2028-02-24T10:00:00+08:00", "2028-03-01T00:00:00+08:00"),
    ],
)
def test_contract_expires_soon_at_ten_five_days_before_and_is_over_at_the_midnight_after(
    ends_on: str, expiring: str, over: str
) -> None:
    assert expiring_at(date.fromisoformat(ends_on)) == at(expiring)
    assert over_at(date.fromisoformat(ends_on)) == at(over)


def test_ten_in_ulaanbaatar_followed_its_summer_time_while_there_was_one() -> None:
    assert overdue_at(date(2016, 7, 1)) == datetime(2016, 7, 2, 1, tzinfo=UTC)
    assert overdue_at(date(2016, 11, 1)) == datetime(2016, 11, 2, 2, tzinfo=UTC)


@pytest.mark.parametrize("day", [date.min, date.max])
def test_dates_at_the_ends_of_the_calendar_are_taken(day: date) -> None:
    overdue, expiring, over = overdue_at(day), expiring_at(day), over_at(day)

    assert expiring < over <= overdue
