"""Cron expressions are read in Ulaanbaatar's time, and wrong ones are told at once."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scheduler.slots import parse


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


WEEKLY = "0 4 * * 1"


@pytest.mark.parametrize(
    ("expression", "now", "latest", "following"),
    [
        (WEEKLY, "2026-11-23T03:59:59.999999+08:00", "2026-11-16T04:00+08:00", "2026-11-23T04:00+08:00"),
        (WEEKLY, "2026-11-23T04:00:00+08:00", "2026-11-23T04:00+08:00", "2026-11-30T04:00+08:00"),
        (WEEKLY, "2026-11-23T04:00:00.000001+08:00", "2026-11-23T04:00+08:00", "2026-11-30T04:00+08:00"),
        (WEEKLY, "2026-11-22T20:00:00+00:00", "2026-11-23T04:00+08:00", "2026-11-30T04:00+08:00"),
        ("30 3 * * *", "2026-12-31T12:00:00+08:00", "2026-12-31T03:30+08:00", "2027-01-01T03:30+08:00"),
        ("0 0 29 2 *", "2027-06-01T00:00:00+08:00", "2024-02-29T00:00+08:00", "2028-02-29T00:00+08:00"),
        ("*/15 * * * *", "2026-11-24T12:14:59+08:00", "2026-11-24T12:00+08:00", "2026-11-24T12:15+08:00"),
        ("*/10 * * * * *", "2026-11-24T12:00:09+08:00", "2026-11-24T12:00:00+08:00", "2026-11-24T12:00:10+08:00"),
    ],
)
def test_slots_around_a_moment(expression: str, now: str, latest: str, following: str) -> None:
    schedule = parse(expression)

    assert schedule.latest(at(now)) == at(latest)
    assert schedule.following(at(now)) == at(following)


@pytest.mark.parametrize(
    "expression", ["", "soon", "61 * * * *", "0 4 * *", "0 4 * * 1 2 3", "0 0 30 2 *", "0 25 * * *", "1#1/2 * * * *"]
)
def test_expression_that_is_wrong_or_never_comes_is_refused(expression: str) -> None:
    with pytest.raises(ValueError, match=r"cron expression|never comes"):
        parse(expression)


@given(st.text(alphabet="0123456789*/-,#LWMON ", max_size=20))
@example("* * * * L#1/1")
def test_any_text_is_a_schedule_or_refused(expression: str) -> None:
    now = datetime(2026, 11, 24, 4, 0, tzinfo=UTC)
    try:
        schedule = parse(expression)
    except ValueError:
        return

    assert schedule.latest(now) <= now < schedule.following(now)


@given(st.datetimes(datetime(2018, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC)))
def test_no_slot_is_skipped_between_two_looks(now: datetime) -> None:
    schedule = parse(WEEKLY)

    assert schedule.following(schedule.latest(now) - timedelta(microseconds=1)) == schedule.latest(now)
    assert schedule.latest(schedule.following(now)) == schedule.following(now)
    assert schedule.following(now) - schedule.latest(now) == timedelta(days=7)
