"""Listing: what will fire, and when, without whom it is for."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import Protocol

from scheduler.firing import Recurring
from scheduler.timers import Coming


class Timetable(Protocol):
    """Where timers are kept."""

    async def coming(self, now: datetime, *, until: datetime, most: int) -> list[Coming]:
        """The armed timers due by `until` that have not lapsed by `now`, soonest first."""
        ...


async def list_coming(
    now: datetime, until: datetime, *, timetable: Timetable, recurring: Sequence[Recurring], most: int
) -> list[Coming]:
    """The first `most` events that will fire by `until`, soonest first, as far as is known now."""
    slots = [
        Coming(slot_at, each.fact.type)
        for each in recurring
        for slot_at in islice(_slots(each, now=now, until=until), most)
    ]
    timers = await timetable.coming(now, until=until, most=most)
    return sorted([*slots, *timers], key=lambda coming: coming.at)[:most]


def _slots(each: Recurring, *, now: datetime, until: datetime) -> Iterator[datetime]:
    slot_at = each.schedule.following(now)
    while slot_at <= until:
        yield slot_at
        slot_at = each.schedule.following(slot_at)
