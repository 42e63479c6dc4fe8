"""What tests of the scheduler set up with: a clock that stands until it is set, and facts as others tell them."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from itertools import count
from uuid import UUID

import asyncpg
from spacehub import database
from spacehub.events import envelope, facts
from spacehub.events.envelope import Event
from spacehub.events.facts import Fact, Recipient

from scheduler.arming import learn
from scheduler.firing import Fired, Recurring, fire
from scheduler.timetable import Timetable

OWNER = UUID("7c2de0aa-0d2b-4b62-8d77-5a1b3e6f2b01")
TENANT = UUID("0b8f5f0e-6f1d-4c0a-9a53-2f0c7f9d1a01")
PHONE = "9911 2233"

_numbers = count(1)


class SettableClock:
    """A clock that shows `moment` until it is set to another."""

    def __init__(self, moment: datetime) -> None:
        self.moment = moment

    async def now(self) -> datetime:
        return self.moment


class Stage:
    """A scheduler on the database of `pool` whose clock stands still between its rounds."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]", clock: SettableClock) -> None:
        self._pool = pool
        self._timetable = Timetable(pool)
        self.clock = clock
        self.recurring: Sequence[Recurring] = ()
        self.rate = 1000.0

    async def learn(self, *told_facts: Event | Fact, at: datetime | None = None) -> None:
        """Learn a batch of facts, those without an envelope as new events without a time."""
        self.clock.moment = at or self.clock.moment
        events = [fact if isinstance(fact, Event) else told(fact) for fact in told_facts]
        await learn(events, timetable=self._timetable, clock=self.clock)

    async def fire(self, at: datetime | None = None) -> Fired:
        """One round of the clock; where no moment is given, a second later than whatever was before."""
        self.clock.moment = at or self.clock.moment + timedelta(seconds=1)
        return await fire(timetable=self._timetable, clock=self.clock, recurring=self.recurring, rate=self.rate)

    async def outbox(self) -> list[Event]:
        """The events that wait to be published, in the order they were written."""
        async with database.reading(self._pool) as connection:
            rows = await connection.fetch("SELECT body, content_type, headers FROM outbox ORDER BY id")
        return [envelope.read(row["body"], content_type=row["content_type"], headers=row["headers"]) for row in rows]

    async def publish(self) -> list[Event]:
        """Take the waiting events out of the outbox, as the forwarder does."""
        events = await self.outbox()
        await self.execute("DELETE FROM outbox")
        return events

    async def execute(self, statement: str) -> None:
        """Run a statement on the database."""
        async with database.reading(self._pool) as connection:
            await connection.execute(statement)

    async def timers(self) -> dict[str, str]:
        """The state of every timer, by subject."""
        async with database.reading(self._pool) as connection:
            rows = await connection.fetch("SELECT subject, state FROM timers")
        return {row["subject"]: row["state"] for row in rows}


def told(fact: Fact, *, time: datetime | None = None, id: str | None = None) -> Event:
    """The event that tells `fact`, with an id of its own."""
    return Event(id or f"event-{next(_numbers)}", "/elsewhere", fact, time)


def issued(bill_id: str, due_date: date, *, user: UUID = TENANT, amount: int = 1_250_000) -> facts.BillIssued:
    """billing's word that a bill is due."""
    return facts.BillIssued(
        bill_id=bill_id,
        owner_id=OWNER,
        recipient=Recipient(user_id=user, phone=PHONE, locale="mn"),
        month=f"{due_date:%Y-%m}",
        amount=amount,
        due_date=due_date,
    )


def paid(bill_id: str) -> facts.PaymentConfirmed:
    """billing's word that a bill is paid."""
    return facts.PaymentConfirmed(
        payment_id=f"payment of {bill_id}",
        bill_id=bill_id,
        owner_id=OWNER,
        recipient=Recipient(user_id=TENANT, phone=PHONE),
        amount=1_250_000,
    )


def cancelled(bill_id: str) -> facts.BillCancelled:
    """billing's word that a bill is withdrawn."""
    return facts.BillCancelled(bill_id=bill_id)


def signed(contract_id: str, ends_on: date, *, user: UUID = TENANT) -> facts.ContractSigned:
    """leasing's word that a contract is signed or renewed."""
    return facts.ContractSigned(
        contract_id=contract_id,
        owner_id=OWNER,
        recipient=Recipient(user_id=user, phone=PHONE),
        property="Зайсан Плаза",
        unit="1201",
        ends_on=ends_on,
    )


def ended(contract_id: str) -> facts.ContractEnded:
    """leasing's word that a contract is over."""
    return facts.ContractEnded(contract_id=contract_id)


def deleted(user: UUID) -> facts.UserDeleted:
    """identity's word that a user is gone."""
    return facts.UserDeleted(user_id=user)
