"""How an SMS ends, and the fact that tells the others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import NAMESPACE_URL, UUID, uuid5

from spacehub.events.envelope import Event
from spacehub.events.facts import Fact, SmsAttempt, SmsBlocked, SmsExpired, SmsFailed, SmsSent, SmsUnknown

SOURCE = "/sms-sender"
RETRIES_EXHAUSTED = "retries_exhausted"
WITHDRAWN = "withdrawn"
BUDGET = "budget"
RATE_LIMITED = "rate_limited"
RESTORED = "restored"
"""The reason of an SMS that may have been sent after the moment to which the ledger was restored."""
LEASE_RAN_OUT = "lease_ran_out"
"""The reason of an attempt that started and of which nothing more was heard: its process died or lost the database."""

Status = Literal["sent", "failed", "expired", "blocked", "unknown"]
UNSENT: frozenset[str] = frozenset({"failed", "expired", "blocked"})
"""The ends which say that nothing was sent."""

_IDS = uuid5(NAMESPACE_URL, "https://spacehub.mn/notify/sms-sender/outcomes")

_FACTS: dict[Status, type[SmsSent | SmsFailed | SmsExpired | SmsBlocked | SmsUnknown]] = {
    "sent": SmsSent,
    "failed": SmsFailed,
    "expired": SmsExpired,
    "blocked": SmsBlocked,
    "unknown": SmsUnknown,
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """One of the five ends, with its reason (none when it was sent) and, when sent, the carrier's message id."""

    status: Status
    reason: str | None = None
    message_id: str | None = None


def sent(message_id: str | None) -> Outcome:
    """The carrier took it."""
    return Outcome("sent", message_id=message_id)


def failed(reason: str) -> Outcome:
    """It cannot be sent, ever, and was not."""
    return Outcome("failed", reason)


def expired() -> Outcome:
    """Its time passed before it could be sent."""
    return Outcome("expired", "expired")


def blocked(reason: str) -> Outcome:
    """It was not sent on purpose."""
    return Outcome("blocked", reason)


def unknown(reason: str) -> Outcome:
    """It may have been sent."""
    return Outcome("unknown", reason)


def event_of(
    outcome: Outcome,
    *,
    sms_id: UUID,
    source_id: str,
    segments: int,
    series: int,
    attempts: int,
    duration_ms: int,
    history: Sequence[Mapping[str, Any]],
    at: datetime,
) -> Event:
    """The event that tells of `outcome`; `history` as the ledger's log keeps it.

    Its id follows from the attempt and the end, so a repeat collides.
    """
    facts: dict[str, Any] = {
        "sms_id": sms_id,
        "source_id": source_id,
        "reason": outcome.reason,
        "message_id": outcome.message_id,
        "segments": segments,
        "attempts": attempts,
        "duration_ms": duration_ms,
        "history": tuple(SmsAttempt(**_known(entry)) for entry in history),
    }
    told: Fact = _FACTS[outcome.status](**_known(facts))
    return Event(
        id=str(uuid5(_IDS, f"{sms_id}/{series}/{attempts}/{outcome.status}")), source=SOURCE, data=told, time=at
    )


def _known(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
