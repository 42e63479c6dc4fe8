"""Cron slots: the moments at which something recurs, from a cron expression read in Ulaanbaatar's time."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cronsim import CronSim, CronSimError
from spacehub.quiet_hours import ULAANBAATAR

_ANY_DAY = datetime(2026, 1, 1, tzinfo=ULAANBAATAR)


@dataclass(frozen=True, slots=True)
class Schedule:
    """A cron expression that is known to be right; make one with `parse`."""

    expression: str

    def latest(self, now: datetime) -> datetime:
        """The newest slot that is not after `now`."""
        second = now.astimezone(ULAANBAATAR).replace(microsecond=0) + timedelta(seconds=1)
        return next(CronSim(self.expression, second, reverse=True)).astimezone(UTC)

    def following(self, now: datetime) -> datetime:
        """The first slot after `now`."""
        return next(CronSim(self.expression, now.astimezone(ULAANBAATAR))).astimezone(UTC)


def parse(expression: str) -> Schedule:
    """The schedule written as a cron expression of five fields (or six, seconds first). Raises ValueError."""
    try:
        comes = next(CronSim(expression, _ANY_DAY), None)
    except (CronSimError, AssertionError) as wrong:
        raise ValueError(f"{expression!r} is not a cron expression such as '0 4 * * 1': {wrong}") from None
    if comes is None:
        raise ValueError(f"{expression!r} names a day that never comes")
    return Schedule(expression)
