"""Subjects (`bill:123`, `contract:5530`, `user:…`) and what the facts of other domains decide about them."""

from dataclasses import dataclass
from datetime import datetime
from uuid import NAMESPACE_URL, UUID, uuid5

from spacehub.events import facts
from spacehub.events.envelope import Event

_IDS = uuid5(NAMESPACE_URL, "https://spacehub.mn/notify/sms-sender/facts")


@dataclass(frozen=True, slots=True)
class Closing:
    """What the newest fact says of `subject`: while it is `closed`, nothing of it is sent."""

    subject: str
    closed: bool
    decided_at: datetime


@dataclass(frozen=True, slots=True)
class Limit:
    """How many segments an owner's month may cost; None: as many as it takes."""

    owner_id: UUID
    monthly_segments: int | None
    set_at: datetime


def fact_id(event: Event) -> UUID:
    """One id for all copies of a fact."""
    return uuid5(_IDS, f"{len(event.source)}/{event.source}/{event.id}")


def decision_of(event: Event, *, now: datetime) -> Closing | Limit | None:
    """What `event` decides; one that does not say when it happened happened `now`. None for a type of no concern."""
    at = event.time or now
    match event.data:
        case facts.PaymentConfirmed(bill_id=bill) | facts.BillCancelled(bill_id=bill):
            return Closing(f"bill:{bill}", True, at)
        case facts.ContractEnded(contract_id=contract):
            return Closing(f"contract:{contract}", True, at)
        case facts.ContractSigned(contract_id=contract):
            return Closing(f"contract:{contract}", False, at)
        case facts.UserDeleted(user_id=user):
            return Closing(f"user:{user}", True, at)
        case facts.SmsBudgetSet(owner_id=owner, monthly_segments=segments):
            return Limit(owner, segments, at)
        case _:
            return None
