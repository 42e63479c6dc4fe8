"""Until when a message makes sense, by what it says."""

from datetime import date, datetime, time, timedelta

from spacehub.events import facts
from spacehub.events.facts import Fact
from spacehub.quiet_hours import ULAANBAATAR

DAY = timedelta(days=1)


def expires_at(fact: Fact, *, happened_at: datetime, received_at: datetime, goes_at: datetime) -> datetime:
    """The moment from which a message about `fact` is not sent any more.

    `goes_at` is when it may go out at the earliest, later than `received_at` when quiet hours defer it.
    """
    match fact:
        case facts.OtpRequested():
            return min(happened_at, received_at) + timedelta(seconds=fact.expires_in)
        case facts.BillIssued():
            return max(_end_of(fact.due_date), received_at + DAY)
        case facts.BillOverdue():
            return received_at + 3 * DAY
        case facts.ContractExpiring():
            return _end_of(fact.ends_on)
        case facts.PaymentConfirmed():
            return received_at + DAY
        case _:
            return goes_at + DAY


def _end_of(day: date) -> datetime:
    """Midnight at the end of `day` in Ulaanbaatar."""
    if day == date.max:
        return datetime.combine(day, time.max, ULAANBAATAR)
    return datetime.combine(day + DAY, time.min, ULAANBAATAR)
