"""A timer: what is known of one subject (`bill:123`, `contract:5530`), and what it will make happen, and when."""

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from enum import StrEnum
from typing import Any, NamedTuple
from uuid import NAMESPACE_URL, UUID, uuid5

from spacehub.events import facts
from spacehub.events.facts import Fact

NAMESPACE = uuid5(NAMESPACE_URL, "https://spacehub.mn/notify/scheduler")
"""Every id that the scheduler derives is a UUIDv5 in this namespace."""


class Key(NamedTuple):
    """Which timer: there is one per subject and purpose. The purpose is the short type of the event it fires."""

    subject: str
    purpose: str


class State(StrEnum):
    """Only an armed timer knows a recipient; the others keep just what later facts are judged by."""

    NEW = "new"
    """Its first fact is being learned."""
    ARMED = "armed"
    """It will fire at `due_at`, unless it lapses before."""
    FIRED = "fired"
    """It fired, and nothing newer has come that makes it fire again."""
    CLOSED = "closed"
    """Paid, cancelled or ended. For a bill that is final; a contract may be signed again."""
    LAPSED = "lapsed"
    """The contract's last day was over before it fired."""
    VOID = "void"
    """Its user was deleted."""


@dataclass(frozen=True, slots=True)
class Timer:
    """One timer. `as_of` is the time of the newest fact about its subject (None once no time matters).

    While armed: `deadline` is the due date or last day it speaks of, `lapses_at` the moment from which it must not
    fire, `data` what the event will say. `told` holds the deadlines for which it has fired.
    """

    key: Key
    state: State = State.NEW
    as_of: datetime | None = None
    due_at: datetime | None = None
    lapses_at: datetime | None = None
    deadline: date | None = None
    user_id: UUID | None = None
    data: dict[str, Any] | None = field(default=None, repr=False)
    told: frozenset[date] = frozenset()

    def rest(self, state: State) -> "Timer":
        """This timer in a state other than armed: whom and what it was for is erased."""
        return Timer(key=self.key, state=state, as_of=self.as_of, told=self.told)

    def fired(self) -> "Timer":
        """This armed timer after it fired for its deadline."""
        assert self.deadline is not None
        return replace(self.rest(State.FIRED), told=self.told | {self.deadline})

    def has_lapsed(self, now: datetime) -> bool:
        """Whether it is too late to fire."""
        return self.lapses_at is not None and now >= self.lapses_at

    def untold(self, withdrawn: Collection[str]) -> "Timer":
        """This timer without the deadlines whose event (by id) was taken back before anybody heard it."""
        return replace(self, told=frozenset(day for day in self.told if str(firing_id(self.key, day)) not in withdrawn))


@dataclass(frozen=True, slots=True)
class Coming:
    """One event that will fire: its short type, and the subject it is about (slots have none)."""

    at: datetime
    purpose: str
    subject: str = ""


def firing_id(key: Key, deadline: date) -> UUID:
    """The id of the event that a timer fires for `deadline`: always the same, so a repeat collides downstream."""
    return uuid5(NAMESPACE, f"{key.subject} {key.purpose} {deadline.isoformat()}")


def slot_id(purpose: str, slot_at: datetime) -> UUID:
    """The id of the event of one cron slot."""
    return uuid5(NAMESPACE, f"{purpose} {slot_at.isoformat()}")


def fact_id(source: str, event_id: str) -> UUID:
    """What a fact is remembered by. No source or id contains U+0000, so no two pairs meet."""
    return uuid5(NAMESPACE, f"{source}\x00{event_id}")


def key_of(fact: Fact) -> Key | None:
    """The timer that `fact` decides about; None when it is about none."""
    match fact:
        case facts.BillIssued(bill_id=bill) | facts.BillCancelled(bill_id=bill) | facts.PaymentConfirmed(bill_id=bill):
            return Key(f"bill:{bill}", facts.BillOverdue.type)
        case facts.ContractSigned(contract_id=contract) | facts.ContractEnded(contract_id=contract):
            return Key(f"contract:{contract}", facts.ContractExpiring.type)
        case _:
            return None
