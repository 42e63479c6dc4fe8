"""When a due date or a last day makes a timer due: ten in the morning in Ulaanbaatar, one day after or five before."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Protocol

from spacehub.quiet_hours import ULAANBAATAR

_MORNING = time(10)
_FIRST, _LAST = date(1900, 1, 1), date(9999, 12, 1)
"""Dates beyond are taken as these: what is meant is "long ago" and "never", and no sum leaves the calendar."""


class Clock(Protocol):
    """What time it is. The database's clock decides for every process; tests set one."""

    async def now(self) -> datetime: ...


def overdue_at(due_date: date) -> datetime:
    """The moment a bill counts as overdue: 10:00 of the day after `due_date`."""
    return _moment(due_date, timedelta(days=1), _MORNING)


def expiring_at(ends_on: date) -> datetime:
    """The moment to say that a contract expires: 10:00 five days before `ends_on`."""
    return _moment(ends_on, timedelta(days=-5), _MORNING)


def over_at(day: date) -> datetime:
    """The moment `day` is over: the following midnight."""
    return _moment(day, timedelta(days=1), time())


def _moment(day: date, shift: timedelta, hour: time) -> datetime:
    shifted = min(max(day, _FIRST), _LAST) + shift
    return datetime.combine(shifted, hour, ULAANBAATAR).astimezone(UTC)
