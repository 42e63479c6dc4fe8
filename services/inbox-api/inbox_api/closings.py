"""Subjects (`bill:123`, `contract:5530`, `user:<uuid>`) and the facts that close them or open them again."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from spacehub.events import facts
from spacehub.events.envelope import Event
from spacehub.events.facts import Fact

DECIDING = frozenset(
    {facts.PaymentConfirmed, facts.BillCancelled, facts.ContractEnded, facts.ContractSigned, facts.UserDeleted}
)
"""The types that say whether a subject is closed."""


@dataclass(frozen=True, slots=True)
class Closing:
    """The newest fact about whether `subject` is closed, and which event told it: a tombstone while `closed`."""

    subject: str
    closed: bool
    decided_at: datetime
    source: str
    event_id: str


def of_bill(bill_id: str) -> str:
    """The subject of a bill."""
    return f"bill:{bill_id}"


def of_contract(contract_id: str) -> str:
    """The subject of a contract."""
    return f"contract:{contract_id}"


def of_user(user_id: UUID) -> str:
    """The subject of everything that is for a user."""
    return f"user:{user_id}"


def decided_by(event: Event, *, now: datetime) -> Closing | None:
    """What `event` says about a subject's being closed; None when it says nothing about that."""
    match event.data:
        case facts.PaymentConfirmed(bill_id=bill) | facts.BillCancelled(bill_id=bill):
            subject, closed = of_bill(bill), True
        case facts.ContractEnded(contract_id=contract):
            subject, closed = of_contract(contract), True
        case facts.ContractSigned(contract_id=contract):
            subject, closed = of_contract(contract), False
        case facts.UserDeleted(user_id=user):
            subject, closed = of_user(user), True
        case _:
            return None
    return Closing(subject, closed, event.time or now, event.source, event.id)


def holds(new: Closing, *, over: Closing | None) -> bool:
    """Whether `new` replaces what was known: the newest fact wins, at a tie the one that came later."""
    return over is None or new.decided_at >= over.decided_at


def spoken_of(fact: Fact) -> str | None:
    """The subject a message about `fact` speaks of: it is not sent once that is closed. A receipt has none."""
    match fact:
        case facts.BillIssued(bill_id=bill) | facts.BillOverdue(bill_id=bill):
            return of_bill(bill)
        case facts.ContractExpiring(contract_id=contract):
            return of_contract(contract)
        case _:
            return None
