"""An owner's month of SMS segments: what fits into it, which levels it has reached, and the fact that tells of one."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final, Literal
from uuid import NAMESPACE_URL, UUID, uuid5

from spacehub.events.envelope import Event
from spacehub.events.facts import SmsBudgetThresholdReached

from sms_sender.outcomes import SOURCE

Level = Literal[80, 100]
LEVELS: Final[tuple[Level, ...]] = (80, 100)

_IDS = uuid5(NAMESPACE_URL, "https://spacehub.mn/notify/sms-sender/thresholds")


@dataclass(frozen=True, slots=True)
class Standing:
    """How an owner's month stands: `used` segments of `limit` (None: as many as it takes), levels told so far."""

    owner_id: UUID
    month: date
    used: int
    limit: int | None
    told_80: bool = False
    told_100: bool = False

    def fits(self, segments: int, *, critical: bool) -> bool:
        """Whether so many more may be used: a critical text always goes."""
        return critical or self.limit is None or self.used + segments <= self.limit

    def untold(self, *, refused: bool = False) -> Iterator[Level]:
        """Levels that are reached and were never told.

        Once a text was `refused` for lack of budget, all of them are: the owner's tenants go without, even if what is
        left would do for a shorter text.
        """
        if self.limit is None:
            return
        for level, told in zip(LEVELS, (self.told_80, self.told_100), strict=True):
            if not told and (refused or (self.used > 0 and self.used * 100 >= level * self.limit)):
                yield level

    def threshold(self, level: Level, *, at: datetime) -> Event:
        """The event that tells of `level`; its id follows from owner, month and level."""
        if self.limit is None:
            raise ValueError("a month without a limit has no levels")
        month = f"{self.month:%Y-%m}"
        told = SmsBudgetThresholdReached(
            owner_id=self.owner_id, month=month, level=level, used=self.used, limit=self.limit
        )
        return Event(id=str(uuid5(_IDS, f"{self.owner_id}/{month}/{level}")), source=SOURCE, data=told, time=at)
