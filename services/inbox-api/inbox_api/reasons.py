"""Reasons in words: what each reason on record means, for people who answer a tenant's question."""

from collections.abc import Mapping
from types import MappingProxyType

MEANING: Mapping[str, str] = MappingProxyType(
    {
        # Decided here, before anything was asked of a sender.
        "no_phone": "no phone number is known of the user",
        "preference": "the user switched this channel off, and the message is not critical",
        "withdrawn": "what it speaks of was paid, cancelled or ended, or the user was deleted",
        "expired": "its time passed before it could go out",
        "no_outcome": "its time passed and no sender told what became of it; it may have gone out",
        "quiet_hours": "it is night in Ulaanbaatar and the message is not critical",
        "in_outbox": "its request has not left for the sender yet",
        "at_sender": "its request has left; the sender has told no end yet",
        # Told by sms-sender.
        "invalid_phone": "the number is not one that gets SMS in Mongolia",
        "budget": "the owner's SMS budget of the month is used up",
        "rate_limited": "the number got as many codes, or the carrier as many texts, as are allowed in a time",
        "retries_exhausted": "every attempt failed for a passing reason until none was left",
        "rejected_text": "the carrier does not take such a text",
        "not_sent": "a person found out that it was never sent",
        "timeout": "the other side did not answer in time; it may have gone out",
        "connection_lost": "the connection broke after the message was handed over; it may have gone out",
        "unreadable_reply": "the carrier answered something nobody can read; it may have gone out",
        "lease_ran_out": "the process that sent it was never heard of again; it may have gone out",
        "unexpected": "something failed that nobody foresaw; the log of its sender says where",
        "connect_failed": "the other side could not be reached",
        "connect_timeout": "the other side could not be reached in time",
        "tls_failed": "no safe connection to the other side could be made",
        "credentials": "the carrier refuses our user name or password",
        "no_credit": "the account with the carrier is empty",
        # Told by push-sender.
        "no_devices": "the user has no device that can be reached by push",
        "invalid_argument": "Firebase does not take such a message",
        "unreadable_answer": "Firebase answered something nobody can read",
        "unavailable": "Firebase could not take it for the moment",
        "internal": "Firebase failed for the moment",
        "quota_exceeded": "Firebase takes no more messages for the moment",
        "third_party_auth_error": "Firebase has no valid key for Apple's or the browser's push service",
    }
)


def meaning_of(reason: str | None) -> str | None:
    """What `reason` means; a status of an HTTP answer in a word, nothing where nobody wrote one down."""
    if reason is None:
        return None
    if reason.startswith("status_"):
        return f"the other side answered HTTP {reason.removeprefix('status_')}"
    return MEANING.get(reason)
