"""What an event asks us to say: to whom, by which channels, about what, and where a tap leads."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from uuid import UUID

from spacehub.events import facts
from spacehub.events.facts import Channel, Fact, Locale, Recipient

from inbox_api import closings

ORDER: tuple[Channel, ...] = ("inbox", "push", "sms")
"""The order in which an event's deliveries are written."""

EVERY_WAY = frozenset[Channel](ORDER)

CHANNELS: Mapping[type[Fact], frozenset[Channel]] = MappingProxyType(
    {
        facts.OtpRequested: frozenset({"sms"}),
        facts.BillIssued: EVERY_WAY,
        facts.PaymentConfirmed: EVERY_WAY,
        facts.BillOverdue: EVERY_WAY,
        facts.ContractExpiring: EVERY_WAY,
        facts.SmsBudgetThresholdReached: frozenset({"inbox", "push"}),
    }
)
"""Which way each type goes (CONTRACT section 3). A `notification.requested` says itself."""

STORED_CONTACT_FIRST = frozenset({facts.BillOverdue, facts.ContractExpiring})
"""Decided long ago: for these the stored phone and locale beat those in the event."""


@dataclass(frozen=True, slots=True)
class Addressee:
    """One of those an event is for, with what the event itself knows of them; a one-time code knows no user."""

    user_id: UUID | None
    phone: str | None
    locale: Locale | None


@dataclass(frozen=True, slots=True)
class Notice:
    """What one event asks us to say. `subject` is what it speaks of: closed, it is not said."""

    fact: Fact
    addressees: tuple[Addressee, ...]
    channels: frozenset[Channel]
    critical: bool
    owner_id: UUID | None
    subject: str | None
    link: str | None
    stored_contact_first: bool


def notice_of(fact: Fact) -> Notice | None:
    """What `fact` asks us to say; None when it asks for nothing."""
    critical, link = False, None
    owner: UUID | None = None
    match fact:
        case facts.OtpRequested():
            addressees: tuple[Addressee, ...] = (Addressee(None, fact.phone, fact.locale),)
            critical = True
        case facts.BillIssued() | facts.PaymentConfirmed() | facts.BillOverdue():
            addressees, owner = (_addressee(fact.recipient),), fact.owner_id
            link = f"spacehub://bills/{fact.bill_id}"
        case facts.ContractExpiring():
            addressees, owner = (_addressee(fact.recipient),), fact.owner_id
            link = f"spacehub://contracts/{fact.contract_id}"
        case facts.NotificationRequested():
            addressees = tuple(_each_once(fact.recipients).values())
            critical, link, owner = fact.critical, fact.link, fact.owner_id
        case facts.SmsBudgetThresholdReached():
            addressees, owner = (Addressee(fact.owner_id, None, None),), fact.owner_id
        case _:
            return None
    return Notice(
        fact=fact,
        addressees=addressees,
        channels=fact.channels if isinstance(fact, facts.NotificationRequested) else CHANNELS[type(fact)],
        critical=critical,
        owner_id=owner,
        subject=closings.spoken_of(fact),
        link=link,
        stored_contact_first=type(fact) in STORED_CONTACT_FIRST,
    )


def _addressee(recipient: Recipient) -> Addressee:
    return Addressee(recipient.user_id, recipient.phone, recipient.locale)


def _each_once(recipients: tuple[Recipient, ...]) -> dict[UUID, Addressee]:
    """Somebody named twice is told once; the first mention counts."""
    first: dict[UUID, Addressee] = {}
    for recipient in recipients:
        first.setdefault(recipient.user_id, _addressee(recipient))
    return first
