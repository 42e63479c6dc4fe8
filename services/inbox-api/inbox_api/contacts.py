"""What we know of how to reach a user, and which of two sayings about it holds."""

from dataclasses import dataclass, replace
from datetime import datetime

from spacehub.events.facts import Channel, Locale, UserUpdated

from inbox_api.texts import DEFAULT_LOCALE


@dataclass(frozen=True, slots=True)
class Contact:
    """A user's phone and locale with the times of the facts that set them, and whether they wish SMS and push.

    A phone of None with a time was forgotten on purpose; without one it was never told.
    """

    phone: str | None = None
    phone_at: datetime | None = None
    locale: Locale | None = None
    locale_at: datetime | None = None
    sms: bool = True
    push: bool = True

    def wants(self, channel: Channel) -> bool:
        """Whether the user lets messages that are not critical come this way; the inbox is always open."""
        return {"inbox": True, "sms": self.sms, "push": self.push}[channel]


@dataclass(frozen=True, slots=True)
class Preferences:
    """What a user chose: the language, and whether messages that are not critical may come by SMS and by push."""

    locale: Locale
    sms: bool
    push: bool


UNKNOWN = Contact()
"""A user of whom nothing was told yet."""


def updated(contact: Contact, update: UserUpdated, *, at: datetime) -> Contact:
    """`contact` after `update`, which happened `at`: the newest fact wins, at a tie the one that came later.

    A key that is absent changes nothing; a phone of null is forgotten.
    """
    if "phone" in update.model_fields_set and _holds(at, over=contact.phone_at):
        contact = replace(contact, phone=update.phone, phone_at=at)
    if "locale" in update.model_fields_set and _holds(at, over=contact.locale_at):
        contact = replace(contact, locale=update.locale, locale_at=at)
    return contact


def preferences_of(contact: Contact) -> Preferences:
    """The user's choices; where nothing was chosen, Mongolian and every way."""
    return Preferences(contact.locale or DEFAULT_LOCALE, contact.sms, contact.push)


def phone_of(contact: Contact, told: str | None, *, stored_first: bool) -> str | None:
    """The phone to use: the one told by the event, else the stored one; the other way round if `stored_first`."""
    if stored_first and contact.phone_at is not None:
        return contact.phone
    return told or contact.phone


def locale_of(contact: Contact, told: Locale | None, *, stored_first: bool) -> Locale:
    """The locale to use, by the same rule; Mongolian where nobody chose."""
    if stored_first and contact.locale_at is not None:
        return contact.locale or DEFAULT_LOCALE
    return told or contact.locale or DEFAULT_LOCALE


def _holds(at: datetime, *, over: datetime | None) -> bool:
    return over is None or at >= over
