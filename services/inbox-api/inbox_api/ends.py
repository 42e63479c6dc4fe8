"""Ends: how a delivery ended by what its sender told, and which of two ends stays on record."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from uuid import UUID

from spacehub.events import facts
from spacehub.events.envelope import Event
from spacehub.events.facts import SmsAttempt

from inbox_api.deliveries import Status

STATUS_OF: Mapping[str, Status] = MappingProxyType(
    {
        "sms.sent": "sent",
        "sms.failed": "failed",
        "sms.expired": "expired",
        "sms.blocked": "blocked",
        "sms.unknown": "unknown",
        "push.sent": "sent",
        "push.failed": "failed",
    }
)
STATUS_BY_REASON: Mapping[tuple[str, str | None], Status] = MappingProxyType(
    {
        ("sms.blocked", "withdrawn"): "suppressed",
        ("push.failed", "withdrawn"): "suppressed",
        ("push.failed", "expired"): "expired",
    }
)
"""Where the reason says more than the type: what was closed while it waited is suppressed, wherever it waited."""

NO_OUTCOME = "no_outcome"
"""The reason of an unknown end that no sender told: its time passed, and nothing was heard of it."""


@dataclass(frozen=True, slots=True)
class End:
    """How a delivery ended, and when. The figures are those of its channel; the others are None.

    `attempt_log` is what its sender tells of its attempts, None when it tells nothing; `earlier` are the ends that this
    one takes the place of, oldest first.
    """

    id: UUID
    status: Status
    reason: str | None
    ended_at: datetime
    message_id: str | None = None
    segments: int | None = None
    attempts: int | None = None
    duration_ms: int | None = None
    devices_reached: int | None = None
    devices_dead: int | None = None
    attempt_log: tuple[SmsAttempt, ...] | None = None
    earlier: "tuple[Standing, ...]" = ()


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a delivery stands."""

    status: Status
    reason: str | None
    ended_at: datetime | None


def end_told_by(event: Event, *, now: datetime) -> End | None:
    """The end that `event` tells; None when it is not an outcome. One without a time happened `now`."""
    outcome = event.data
    match outcome:
        case facts.SmsSent() | facts.SmsFailed() | facts.SmsExpired() | facts.SmsBlocked() | facts.SmsUnknown():
            return End(
                id=outcome.sms_id,
                status=STATUS_BY_REASON.get((outcome.type, outcome.reason), STATUS_OF[outcome.type]),
                reason=outcome.reason,
                ended_at=event.time or now,
                message_id=outcome.message_id,
                segments=outcome.segments,
                attempts=outcome.attempts,
                duration_ms=outcome.duration_ms,
                attempt_log=outcome.history or None,
            )
        case facts.PushSent() | facts.PushFailed():
            return End(
                id=outcome.push_id,
                status=STATUS_BY_REASON.get((outcome.type, outcome.reason), STATUS_OF[outcome.type]),
                reason=outcome.reason,
                ended_at=event.time or now,
                devices_reached=outcome.sent,
                devices_dead=outcome.dead,
            )
        case _:
            return None


def holds(end: End, *, over: Standing) -> bool:
    """Whether `end` replaces where the delivery stands. An end stays, with four exceptions.

    What was given up unheard becomes whatever its sender tells after all; an unknown one may be settled later as sent
    or failed; one whose retries were used up may be redriven, then the newest end counts; and what was withdrawn here
    after it had left is on record as what the sender says became of it.
    """
    match over.status, over.reason:
        case "pending", _:
            return True
        case "unknown", reason:
            return reason == NO_OUTCOME or end.status in ("sent", "failed")
        case "failed", "retries_exhausted":
            return over.ended_at is None or end.ended_at > over.ended_at
        case "suppressed", "withdrawn":
            return end.status in ("sent", "unknown")
        case _:
            return False
