"""What may still be sent, kept in memory: budgets, the codes of one phone, and the ceiling, as in PostgreSQL."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime
from typing import Protocol
from uuid import UUID

from spacehub.events.envelope import Event
from spacehub.quiet_hours import ULAANBAATAR

from sms_sender import outcomes
from sms_sender.attempts import OTP
from sms_sender.budget import Standing
from sms_sender.ceiling import Minute
from sms_sender.code_counts import A_DAY, FEW, MANY, SOON
from sms_sender.fates import CeilingReached
from sms_sender.outcomes import Outcome


class Row(Protocol):
    """What an allowance reads of an SMS, and the month it notes there."""

    sms_id: UUID
    about: str
    owner_id: UUID | None
    critical: bool
    segments: int
    expires_at: datetime
    phone_hash: bytes
    budget_month: date | None


class FakeAllowance:
    """`publish` is given the events of levels that are reached."""

    def __init__(self, *, publish: Callable[[Event], None], ceiling: int | None = None) -> None:
        self.limits: dict[UUID, int | None] = {}
        self.months: dict[tuple[UUID, date], Standing] = {}
        self.codes: dict[bytes, dict[UUID, datetime]] = {}
        self._minute = Minute(0.0, ())
        self._ceiling = ceiling
        self._publish = publish

    def take(self, row: Row, *, now: datetime) -> Outcome | None:
        """What it needs for its next attempt, or why it may not have that. Raises CeilingReached."""
        phone = self.codes.setdefault(row.phone_hash, {})
        others = [at for sms_id, at in phone.items() if sms_id != row.sms_id and at > now - A_DAY]
        if row.about == OTP and (len(others) >= MANY or sum(at > now - SOON for at in others) >= FEW):
            return outcomes.blocked(outcomes.RATE_LIMITED)
        standing = self._standing(row, now=now)
        if standing and not standing.fits(row.segments, critical=row.critical):
            self._tell(standing, now=now, refused=True)
            return outcomes.blocked(outcomes.BUDGET)
        if self._ceiling is not None:
            minute = Minute(now.timestamp(), self._minute.seconds)
            taken, self._minute = minute.take(1, critical=row.critical, ceiling=self._ceiling)
            if not taken:
                raise CeilingReached("ceiling", retry_in=self._minute.wait, not_after=row.expires_at)
        if row.about == OTP:
            phone[row.sms_id] = now
        if standing:
            row.budget_month = standing.month
            self._tell(replace(standing, used=standing.used + row.segments), now=now)
        return None

    def give_back(self, row: Row) -> None:
        """It was never sent."""
        self.codes.get(row.phone_hash, {}).pop(row.sms_id, None)
        if row.owner_id is not None and row.budget_month is not None:
            standing = self.months[row.owner_id, row.budget_month]
            self.months[row.owner_id, row.budget_month] = replace(standing, used=standing.used - row.segments)
            row.budget_month = None

    def limit(self, owner: UUID, segments: int | None, *, now: datetime) -> None:
        """The owner's month may cost so much from now on."""
        self.limits[owner] = segments
        standing = self.months.get((owner, month_of(now)))
        if standing:
            self._tell(replace(standing, limit=segments), now=now)

    def a_minute_passes(self) -> None:
        """What went out in the last minute did so before."""
        self._minute = Minute(self._minute.now, ())

    def _standing(self, row: Row, *, now: datetime) -> Standing | None:
        """The month it needs a place in: None when it has no owner, or its place already."""
        if row.owner_id is None or row.budget_month is not None:
            return None
        month = month_of(now)
        standing = self.months.get((row.owner_id, month), Standing(row.owner_id, month, used=0, limit=None))
        return replace(standing, limit=self.limits.get(row.owner_id))

    def _tell(self, standing: Standing, *, now: datetime, refused: bool = False) -> None:
        levels = list(standing.untold(refused=refused))
        for level in levels:
            self._publish(standing.threshold(level, at=now))
        self.months[standing.owner_id, standing.month] = replace(
            standing, told_80=standing.told_80 or 80 in levels, told_100=standing.told_100 or 100 in levels
        )


def month_of(moment: datetime) -> date:
    """The calendar month in Ulaanbaatar, by its first day."""
    return moment.astimezone(ULAANBAATAR).date().replace(day=1)
