"""When a message that may wait is allowed to go out, by a table of moments."""

from datetime import UTC, datetime, time

import pytest
from spacehub.quiet_hours import ULAANBAATAR, QuietHours, may_go, parse


def local(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ULAANBAATAR)


NOW = "at once"


@pytest.mark.parametrize(
    ("window", "now", "goes"),
    [
        ("22:00-08:00", "2026-11-23T21:59:59.999999", NOW),
        ("22:00-08:00", "2026-11-23T22:00:00", "2026-11-24T08:00:00"),
        ("22:00-08:00", "2026-11-23T23:59:59.999999", "2026-11-24T08:00:00"),
        ("22:00-08:00", "2026-11-24T00:00:00", "2026-11-24T08:00:00"),
        ("22:00-08:00", "2026-11-24T07:59:59.999999", "2026-11-24T08:00:00"),
        ("22:00-08:00", "2026-11-24T08:00:00", NOW),
        ("22:00-08:00", "2026-11-24T12:00:00", NOW),
        ("22:00-08:00", "2026-12-31T23:30:00", "2027-01-01T08:00:00"),
        ("22:00-08:00", "2028-02-28T23:30:00", "2028-02-29T08:00:00"),
        ("12:30-14:15", "2026-11-23T12:29:59", NOW),
        ("12:30-14:15", "2026-11-23T12:30:00", "2026-11-23T14:15:00"),
        ("12:30-14:15", "2026-11-23T14:14:59", "2026-11-23T14:15:00"),
        ("12:30-14:15", "2026-11-23T14:15:00", NOW),
        ("12:30-14:15", "2026-11-23T23:00:00", NOW),
        ("00:00-06:00", "2026-11-23T00:00:00", "2026-11-23T06:00:00"),
        ("00:00-06:00", "2026-11-23T23:59:59", NOW),
        ("20:00-00:00", "2026-11-23T20:00:00", "2026-11-24T00:00:00"),
        ("20:00-00:00", "2026-11-24T00:00:00", NOW),
        ("off", "2026-11-23T23:00:00", NOW),
    ],
)
def test_message_goes_at_once_or_when_the_quiet_hours_end(window: str, now: str, goes: str) -> None:
    moment = local(now)

    answer = may_go(moment, parse(window))

    assert answer == (moment if goes == NOW else local(goes))


def test_any_time_zone_is_judged_by_the_clock_in_ulaanbaatar() -> None:
    fifteen_utc = datetime(2026, 11, 23, 15, 0, tzinfo=UTC)

    assert may_go(fifteen_utc, parse("22:00-08:00")) == datetime(2026, 11, 24, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize("setting", ["off", "OFF", " off "])
def test_off_is_no_window(setting: str) -> None:
    assert parse(setting) is None


def test_window_is_read_as_written() -> None:
    assert parse("22:30-07:05") == QuietHours(time(22, 30), time(7, 5))


@pytest.mark.parametrize("setting", ["", "22-8", "22:00", "24:00-08:00", "22:60-08:00", "22:00-08:00 UTC", "2:00-8:00"])
def test_anything_else_is_told_what_a_window_looks_like(setting: str) -> None:
    with pytest.raises(ValueError, match="such as 22:00-08:00, or off"):
        parse(setting)


def test_window_without_length_is_refused() -> None:
    with pytest.raises(ValueError, match="begin and end at the same time"):
        parse("08:00-08:00")
