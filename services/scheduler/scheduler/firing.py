"""Firing: what is due becomes an event, once, in the transaction that marks it as fired."""

from collections import Counter
from collections.abc import Collection, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from spacehub import outbox
from spacehub.events import envelope, facts
from spacehub.events.catalogue import EVENTS_EXCHANGE
from spacehub.events.envelope import Event, Message
from spacehub.events.facts import Fact
from spacehub.outbox import OutboxRow
from spacehub.tracing import spans

from scheduler.due_times import Clock
from scheduler.slots import Schedule
from scheduler.timers import State, Timer, firing_id, slot_id

SOURCE = "/scheduler"
MOST = 500
"""Timers fired in one transaction at most."""

_FIRES: dict[str, type[Fact]] = {fact.type: fact for fact in (facts.BillOverdue, facts.ContractExpiring)}


class Firing(Protocol):
    """One transaction in which events are fired. Another that fires timers waits for its end."""

    async def gate(self) -> datetime:
        """The moment from which timers may be fired again, by whichever scheduler."""
        ...

    async def shut_gate(self, until: datetime) -> None:
        """Keep every scheduler from firing timers before `until`."""
        ...

    async def claim_due(self, now: datetime, *, most: int) -> list[Timer]:
        """The armed timers that are due, oldest first, locked; those that somebody else holds are left out."""
        ...

    async def claim_slot(self, purpose: str, slot_at: datetime, *, now: datetime) -> bool:
        """Whether this slot is to be fired here: it is newer than every known slot of `purpose`, and none is unknown.

        The first slot ever seen of a purpose is noted and not fired: it was before our time.
        """
        ...

    async def next_due(self) -> datetime | None:
        """When the next armed timer is due; None when none is armed."""
        ...

    async def save(self, timers: Collection[Timer]) -> None:
        """Keep `timers`."""
        ...

    async def write(self, rows: Sequence[OutboxRow]) -> None:
        """Add `rows` to the outbox."""
        ...


class Timetable(Protocol):
    """Where timers are kept."""

    def firing(self) -> AbstractAsyncContextManager[Firing]:
        """A transaction to fire in."""
        ...


@dataclass(frozen=True, slots=True)
class Recurring:
    """An event that is fired at every slot of a schedule; its purpose is its short type."""

    fact: Fact
    schedule: Schedule


@dataclass(frozen=True, slots=True)
class Fired:
    """What one round did: events fired by short type, and when there will be something to do again, if ever."""

    counts: Counter[str]
    next_at: datetime | None


async def fire(*, timetable: Timetable, clock: Clock, recurring: Sequence[Recurring], rate: float) -> Fired:
    """Fire the slots that are due and as many due timers as `rate` (a second, all schedulers together) allows."""
    now = await clock.now()
    counts = await fire_slots(now, timetable=timetable, recurring=recurring)
    timers, next_timer = await fire_timers(now, timetable=timetable, rate=rate)
    ahead = [each.schedule.following(now) for each in recurring]
    if next_timer is not None:
        ahead.append(next_timer)
    return Fired(counts + timers, min(ahead, default=None))


async def fire_slots(now: datetime, *, timetable: Timetable, recurring: Sequence[Recurring]) -> Counter[str]:
    """Fire the newest slot of each recurring event, if nobody has; how many by type.

    Slots missed while no scheduler ran are made up for by the newest alone.
    """
    fired: Counter[str] = Counter()
    for each in recurring:
        purpose, slot_at = each.fact.type, each.schedule.latest(now)
        async with timetable.firing() as hand:
            if await hand.claim_slot(purpose, slot_at, now=now):
                message = _message(slot_id(purpose, slot_at), each.fact, now)
                await hand.write([outbox.row_of(message, exchange=EVENTS_EXCHANGE)])
                fired[purpose] += 1
    return fired


async def fire_timers(now: datetime, *, timetable: Timetable, rate: float) -> tuple[Counter[str], datetime | None]:
    """Fire due timers, a second's worth of `rate` at most; how many by type, and when the next may be fired, if any.

    The gate meters the releases: after n of them it stays shut for n / `rate` seconds, for every scheduler. What has
    lapsed by `now` is put to rest and costs nothing.
    """
    async with timetable.firing() as hand:
        opens_at = await hand.gate()
        fired: list[Timer] = []
        if opens_at <= now:
            due = await hand.claim_due(now, most=min(MOST, max(1, int(rate))))
            fired = [timer for timer in due if not timer.has_lapsed(now)]
            lapsed = [timer for timer in due if timer.has_lapsed(now)]
            await hand.write([_row(timer, now) for timer in fired])
            await hand.save([timer.fired() for timer in fired] + [timer.rest(State.LAPSED) for timer in lapsed])
            if fired:
                opens_at = now + timedelta(seconds=len(fired) / rate)
                await hand.shut_gate(opens_at)
        next_due = await hand.next_due()
    return Counter(timer.key.purpose for timer in fired), None if next_due is None else max(next_due, opens_at)


def _row(timer: Timer, now: datetime) -> OutboxRow:
    assert timer.deadline is not None
    fact = _FIRES[timer.key.purpose].model_validate(timer.data, strict=False)
    message = _message(firing_id(timer.key, timer.deadline), fact, now)
    return outbox.row_of(message, exchange=EVENTS_EXCHANGE, subject=timer.key.subject, user_id=timer.user_id)


def _message(number: UUID, fact: Fact, now: datetime) -> Message:
    """The event on the wire. What it will cause is a trace of its own: the facts behind it are weeks old."""
    with spans.span(f"fire {fact.type}", kind="producer", event_id=str(number)) as traceparent:
        return envelope.write(Event(str(number), SOURCE, fact, now, traceparent))
