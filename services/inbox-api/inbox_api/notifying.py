"""Notifying: a batch of events becomes inbox rows, delivery rows and outbox rows in one transaction.

Everything that two batches could both want is locked in one order, whatever the order of the events: events, subjects,
contacts, waiting requests, deliveries, feeds; within each by key. So batches that overlap wait and never deadlock.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol
from uuid import UUID

from spacehub.errors import PermanentFailure
from spacehub.events import facts
from spacehub.events.envelope import Event

from inbox_api.closings import DECIDING, Closing, decided_by, of_user
from inbox_api.contacts import Contact
from inbox_api.drafts import Rules
from inbox_api.notices import CHANNELS, notice_of
from inbox_api.planning import plan
from inbox_api.plans import Plan

MOST_ADDRESSEES = 2_000
"""A transaction is for so many people at most, unless one event alone is for more: it stays short."""

HANDLED = frozenset({facts.UserUpdated, facts.NotificationRequested, *CHANNELS, *DECIDING})

Clock = Callable[[], datetime]


class Transaction(Protocol):
    """What is asked of the database for one batch, in this order."""

    async def take_in(self, events: Sequence[Event], *, now: datetime) -> list[Event]:
        """Record the events; those that were not known before, in their order."""

    async def lock(self, *, shared: AbstractSet[str], alone: AbstractSet[str]) -> None:
        """Hold these subjects until the end: shared with others that write for them, or alone to close or open them."""

    async def closings(self, subjects: AbstractSet[str]) -> Mapping[str, Closing]: ...

    async def contacts(self, users: AbstractSet[UUID], *, changing: AbstractSet[UUID]) -> Mapping[UUID, Contact]:
        """What is known of `users`; the rows of those `changing` are held until the end."""

    async def write(self, plan: Plan, *, now: datetime) -> None: ...


class Store(Protocol):
    """The service's database."""

    def transaction(self) -> AbstractAsyncContextManager[Transaction]: ...


async def notify(events: Sequence[Event], *, store: Store, rules: Rules, clock: Clock) -> None:
    """Bring `events` to everyone they are for, once however often they come.

    Raises PermanentFailure for a type that is not for this service, before anything is written.
    """
    for event in events:
        if type(event.data) not in HANDLED:
            raise PermanentFailure(f"no_subscriber: {event.data.type}")
    for portion in portions(events):
        await _notify(portion, store=store, rules=rules, now=clock())


async def _notify(events: Sequence[Event], *, store: Store, rules: Rules, now: datetime) -> None:
    async with store.transaction() as transaction:
        fresh = await transaction.take_in(events, now=now)
        if not fresh:
            return
        touched = _Touched()
        for event in fresh:
            touched.add(event, now=now)
        await transaction.lock(shared=touched.subjects - touched.decided, alone=touched.decided)
        closings = await transaction.closings(touched.subjects | touched.decided)
        contacts = await transaction.contacts(touched.users, changing=touched.changing)
        await transaction.write(plan(fresh, contacts=contacts, closings=closings, rules=rules, now=now), now=now)


class _Touched:
    """What the events of a batch read and change."""

    def __init__(self) -> None:
        self.subjects: set[str] = set()
        self.decided: set[str] = set()
        self.users: set[UUID] = set()
        self.changing: set[UUID] = set()

    def add(self, event: Event, *, now: datetime) -> None:
        decision = decided_by(event, now=now)
        if decision is not None:
            self.decided.add(decision.subject)
        if isinstance(event.data, facts.UserUpdated):
            self.changing.add(event.data.user_id)
            self.subjects.add(of_user(event.data.user_id))
        notice = notice_of(event.data)
        if notice is not None:
            users = {to.user_id for to in notice.addressees if to.user_id is not None}
            self.users |= users
            self.subjects.update(map(of_user, users))
            if notice.subject is not None:
                self.subjects.add(notice.subject)


def portions(events: Sequence[Event]) -> Iterator[list[Event]]:
    """`events` in their order, cut into portions of at most `MOST_ADDRESSEES` people, at least one event each."""
    portion: list[Event] = []
    people = 0
    for event in events:
        count = len(event.data.recipients) if isinstance(event.data, facts.NotificationRequested) else 1
        if portion and people + count > MOST_ADDRESSEES:
            yield portion
            portion, people = [], 0
        portion.append(event)
        people += count
    if portion:
        yield portion
