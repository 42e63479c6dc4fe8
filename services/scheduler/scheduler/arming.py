"""Arming: what facts make of timers. The newest fact wins, however late, often or mixed up it comes."""

from collections.abc import Collection, Iterable, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Protocol
from uuid import UUID

from spacehub.errors import Unreadable
from spacehub.events import facts
from spacehub.events.envelope import Event

from scheduler.due_times import Clock, expiring_at, over_at, overdue_at
from scheduler.timers import Key, State, Timer, fact_id, key_of


class Learning(Protocol):
    """One transaction in which facts are learned. Whoever learns of the same subject or user waits for its end."""

    async def unseen(self, ids: Iterable[UUID], *, now: datetime) -> AbstractSet[UUID]:
        """Those of `ids` that were never learned; from now on they were."""
        ...

    async def bury(self, users: Collection[UUID], *, now: datetime) -> None:
        """Remember that `users` are deleted, and void their armed timers."""
        ...

    async def buried(self, users: Collection[UUID]) -> AbstractSet[UUID]:
        """Those of `users` that are deleted."""
        ...

    async def hold(self, keys: Iterable[Key]) -> dict[Key, Timer]:
        """The timers of `keys`, a new one where none was, locked until the end."""
        ...

    async def withdraw(self, *, subjects: Collection[str], users: Collection[UUID]) -> Collection[str]:
        """Take back the events that wait to be published; the ids of those."""
        ...

    async def save(self, timers: Collection[Timer]) -> None:
        """Keep `timers`, and wake the clock for what is armed."""
        ...


class Timetable(Protocol):
    """Where timers are kept."""

    def learning(self, *, deleting: bool) -> AbstractAsyncContextManager[Learning]:
        """A transaction to learn in; `deleting` when users will be buried."""
        ...


async def learn(events: Sequence[Event], *, timetable: Timetable, clock: Clock) -> None:
    """Arm, move and disarm timers by `events`, in the order of arrival; an event learned before changes nothing.

    Raises Unreadable when an event is of a type that says nothing about time.
    """
    now = await clock.now()
    deleted = {event.data.user_id for event in events if isinstance(event.data, facts.UserDeleted)}
    keys = {id(event): _key(event) for event in events}
    async with timetable.learning(deleting=bool(deleted)) as book:
        fresh = _first_copies(events, unseen=await book.unseen(map(_id, events), now=now))
        if deleted:
            await book.bury(deleted, now=now)
        buried = await book.buried({user for event in fresh if (user := _user(event)) is not None})
        known = await book.hold(key for event in fresh if (key := keys[id(event)]) is not None)
        timers = dict(known)
        for event in fresh:
            if (key := keys[id(event)]) is not None:
                timers[key] = after(event, timers[key], now=now, buried=buried)
        changed = [timer for key, timer in timers.items() if timer != known[key]]
        stale = [timer.key.subject for timer in changed if timer.told and timer.state is not State.FIRED]
        withdrawn = await book.withdraw(subjects=stale, users=deleted)
        await book.save([timer.untold(withdrawn) for timer in changed])


def after(event: Event, timer: Timer, *, now: datetime, buried: AbstractSet[UUID] = frozenset()) -> Timer:
    """What `timer` becomes when `event`, which is about it, is learned at `now`; `buried` are deleted users.

    A bill that was paid or cancelled is never armed again, whatever the times say. Facts about a contract, and copies
    of a bill issued anew, replace each other by their time; one without a time is newer than all that came before it.
    Raises Unreadable when the time is one that no clock shows.
    """
    if isinstance(event.data, facts.BillCancelled | facts.PaymentConfirmed):
        return replace(timer, as_of=None).rest(State.CLOSED)
    as_of = _time(event) or max(now, timer.as_of or now)
    if timer.as_of is not None and as_of < timer.as_of:
        return timer
    newest = replace(timer, as_of=as_of)
    match event.data:
        case facts.BillIssued() as bill if timer.state is not State.CLOSED:
            return _armed(newest, _overdue(bill), now=now, buried=buried)
        case facts.ContractSigned() as contract:
            return _armed(newest, _expiring(contract), now=now, buried=buried)
        case facts.ContractEnded():
            return newest.rest(State.CLOSED)
        case _:
            return timer


def _armed(
    timer: Timer, fact: facts.BillOverdue | facts.ContractExpiring, *, now: datetime, buried: AbstractSet[UUID]
) -> Timer:
    """`timer` set to fire `fact`, or at rest where it must not fire."""
    match fact:
        case facts.BillOverdue(due_date=deadline):
            due_at, lapses_at = overdue_at(deadline), None
            was_told = any(day >= deadline for day in timer.told)  # only a later due date is worth telling again
        case facts.ContractExpiring(ends_on=deadline):
            due_at, lapses_at = expiring_at(deadline), over_at(deadline)
            was_told = deadline in timer.told
    user = fact.recipient.user_id
    armed = replace(
        timer,
        state=State.ARMED,
        due_at=due_at,
        lapses_at=lapses_at,
        deadline=deadline,
        user_id=user,
        data=fact.model_dump(mode="json", exclude_unset=True),
    )
    if user in buried:
        return timer.rest(State.VOID)
    if was_told:
        return timer.rest(State.FIRED)
    return timer.rest(State.LAPSED) if armed.has_lapsed(now) else armed


def _overdue(bill: facts.BillIssued) -> facts.BillOverdue:
    return facts.BillOverdue(
        bill_id=bill.bill_id,
        owner_id=bill.owner_id,
        recipient=bill.recipient,
        amount=bill.amount,
        due_date=bill.due_date,
    )


def _expiring(contract: facts.ContractSigned) -> facts.ContractExpiring:
    return facts.ContractExpiring(
        contract_id=contract.contract_id,
        owner_id=contract.owner_id,
        recipient=contract.recipient,
        property=contract.property,
        unit=contract.unit,
        ends_on=contract.ends_on,
    )


def _id(event: Event) -> UUID:
    return fact_id(event.source, event.id)


def _time(event: Event) -> datetime | None:
    try:
        return event.time and event.time.astimezone(UTC)
    except OverflowError:
        raise Unreadable("wrong_data: time: beyond the calendar") from None


def _user(event: Event) -> UUID | None:
    match event.data:
        case facts.BillIssued(recipient=recipient) | facts.ContractSigned(recipient=recipient):
            return recipient.user_id
        case _:
            return None


def _key(event: Event) -> Key | None:
    key = key_of(event.data)
    if key is None and not isinstance(event.data, facts.UserDeleted):
        raise Unreadable(f"no_such_type: type: {event.data.type} does not belong here")
    return key


def _first_copies(events: Sequence[Event], *, unseen: AbstractSet[UUID]) -> list[Event]:
    """The events that were never learned, once each, in order."""
    firsts: dict[UUID, Event] = {}
    for event in events:
        if (known_by := _id(event)) in unseen:
            firsts.setdefault(known_by, event)
    return list(firsts.values())
