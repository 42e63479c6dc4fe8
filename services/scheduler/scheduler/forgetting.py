"""Forgetting: ids of facts are remembered only as long as a second copy can still come."""

from datetime import datetime, timedelta
from typing import Protocol

from scheduler.due_times import Clock

_STEP = 10_000


class Timetable(Protocol):
    """Where the ids of learned facts are kept."""

    async def forget_facts(self, *, before: datetime, most: int) -> int:
        """Forget up to `most` ids learned before a moment; how many."""
        ...


async def forget_old_facts(*, timetable: Timetable, clock: Clock, kept: timedelta) -> int:
    """Forget the ids of facts learned longer than `kept` ago, in small transactions; how many.

    What the facts said of their subjects stays known, so an even later copy finds a newer fact there, or itself.
    """
    before = await clock.now() - kept
    forgotten = 0
    while (step := await timetable.forget_facts(before=before, most=_STEP)) > 0:
        forgotten += step
    return forgotten
