"""Drafts: how each delivery of one event to one addressee begins, with its inbox row or the request for its sender."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from pydantic import SecretStr
from spacehub.events.envelope import Event
from spacehub.events.facts import BillOverdue, Channel, ContractExpiring, Fact
from spacehub.events.requests import PushRequested, SmsRequested
from spacehub.privacy import phone_trace
from spacehub.quiet_hours import QuietHours, may_go

from inbox_api.contacts import Contact, locale_of, phone_of
from inbox_api.deliveries import Delivery, Notification, Status, delivery_id
from inbox_api.expiry import expires_at
from inbox_api.notices import ORDER, Addressee, Notice
from inbox_api.texts import Text, render

SOURCE = "/inbox-api"

SPREAD = timedelta(minutes=10)
"""What quiet hours held back goes out over this time after their end, not all at once."""


@dataclass(frozen=True, slots=True)
class Rules:
    """How this service is set up: the channels it uses, when it is quiet, and the key of the phone hashes."""

    channels: frozenset[Channel]
    quiet_hours: QuietHours | None
    phone_key: SecretStr


@dataclass(frozen=True, slots=True)
class Draft:
    """A delivery as it begins, with its inbox row or the request for its sender unless it has ended already."""

    delivery: Delivery
    notification: Notification | None = None
    request: Event | None = None


def drafts(
    event: Event, notice: Notice, to: Addressee, *, contact: Contact, closed: bool, rules: Rules, now: datetime
) -> Iterator[Draft]:
    """A draft for each channel of `notice`; `closed` says that its subject or the user is."""
    locale = locale_of(contact, to.locale, stored_first=notice.stored_contact_first)
    phone = phone_of(contact, to.phone, stored_first=notice.stored_contact_first)
    text = render(notice.fact, locale)
    for channel in ORDER:
        if channel not in notice.channels & rules.channels:
            continue
        number = delivery_id(event, to.user_id, channel)
        goes_at = now if notice.critical or channel == "inbox" else _spread(may_go(now, rules.quiet_hours), now, number)
        until = expires_at(notice.fact, happened_at=event.time or now, received_at=now, goes_at=goes_at)
        # An SMS that comes too late is its sender's to tell: `sms.expired` reaches whoever published the event.
        expired = until <= goes_at and not (channel == "sms" and goes_at == now)
        status, reason = _beginning(notice, channel, contact, phone, closed=closed, expired=expired)
        trace = phone_trace(phone, key=rules.phone_key) if phone and channel == "sms" else None
        delivery = Delivery(
            id=number,
            source=event.source,
            event_id=event.id,
            type=notice.fact.type,
            channel=channel,
            user_id=to.user_id,
            owner_id=notice.owner_id,
            subject=notice.subject,
            critical=notice.critical,
            locale=locale,
            phone_hash=trace.hash if trace else None,
            phone_last4=trace.last4 if trace else None,
            status=status,
            reason=reason,
            available_at=goes_at if status == "pending" and goes_at > now else None,
            expires_at=until,
            created_at=now,
            ended_at=None if status == "pending" else now,
        )
        if status == "sent" and to.user_id is not None:
            yield Draft(delivery, notification=_inbox_row(delivery, to.user_id, notice, text))
        elif status == "pending":
            yield Draft(delivery, request=_request(delivery, event, notice, text, phone))
        else:
            yield Draft(delivery)


def _beginning(
    notice: Notice, channel: Channel, contact: Contact, phone: str | None, *, closed: bool, expired: bool
) -> tuple[Status, str | None]:
    """Whether it goes out at all, and if not, why: the first reason that applies is the one on record."""
    if closed:
        return "suppressed", "withdrawn"
    if expired:
        return "expired", "expired"
    if not notice.critical and not contact.wants(channel):
        return "suppressed", "preference"
    if channel == "sms" and phone is None:
        return "suppressed", "no_phone"
    return ("sent" if channel == "inbox" else "pending"), None


def _spread(due: datetime, now: datetime, number: UUID) -> datetime:
    """`due`, or if it was put off, a moment of its own soon after it."""
    if due <= now:
        return due
    return due + timedelta(seconds=number.int % int(SPREAD.total_seconds()))


def _inbox_row(delivery: Delivery, user_id: UUID, notice: Notice, text: Text) -> Notification:
    return Notification(
        id=delivery.id,
        user_id=user_id,
        type=delivery.type,
        title=text.title,
        body=text.body,
        link=notice.link,
        created_at=delivery.created_at,
    )


def _request(delivery: Delivery, event: Event, notice: Notice, text: Text, phone: str | None) -> Event:
    shared: dict[str, Any] = {
        "source": event.source,
        "source_id": event.id,
        "about": delivery.type,
        "critical": delivery.critical,
        "expires_at": delivery.expires_at,
        "user_id": delivery.user_id,
        "owner_id": delivery.owner_id,
        "subject": delivery.subject,
        "due_at": delivery.available_at or event.time or delivery.created_at,
    }
    data: Fact
    if delivery.channel == "sms":
        happened_at = None if isinstance(event.data, BillOverdue | ContractExpiring) else event.time
        data = SmsRequested(**shared, sms_id=delivery.id, phone=phone or "", text=text.sms, happened_at=happened_at)
    else:
        data = PushRequested(
            **shared,
            push_id=delivery.id,
            notification_id=delivery_id(event, delivery.user_id, "inbox"),
            title=text.title,
            body=text.body,
            link=notice.link,
        )
    return Event(id=str(delivery.id), source=SOURCE, data=data, time=delivery.created_at, traceparent=event.traceparent)
