"""What the ledger writes down when an attempt is over: the end, or that the SMS waits for its next attempt."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from spacehub.events.envelope import Message, write

from sms_sender.attempts import Attempt
from sms_sender.outcomes import UNSENT, Outcome, event_of, unknown


@dataclass(frozen=True, slots=True)
class Mark:
    """One attempt's result as columns. `entry` goes to the log, `message` is the event of an end."""

    sms_id: UUID
    token: UUID
    number: int
    status: str
    reason: str | None
    message_id: str | None
    duration_ms: int
    tried: bool
    doubtful: bool
    entry: dict[str, Any] | None
    message: Message | None


def of_end(attempt: Attempt, outcome: Outcome, *, took: timedelta, at: datetime) -> Mark:
    """The SMS has its end; if an earlier attempt is in doubt, then no end which says that nothing was sent."""
    duration_ms = milliseconds(took)
    logged = entry(attempt.number, attempt.started_at, outcome.status, outcome.reason, duration_ms)
    doubtful = outcome.status == "unknown"
    if attempt.doubt and outcome.status in UNSENT:
        outcome = unknown(attempt.doubt)
    event = event_of(
        outcome,
        sms_id=attempt.sms_id,
        source_id=attempt.source_id,
        segments=attempt.segments,
        series=attempt.series,
        attempts=attempt.number,
        duration_ms=duration_ms,
        history=[*attempt.history, logged],
        at=at,
    )
    return Mark(
        sms_id=attempt.sms_id,
        token=attempt.token,
        number=attempt.number,
        status=outcome.status,
        reason=outcome.reason,
        message_id=outcome.message_id,
        duration_ms=duration_ms,
        tried=True,
        doubtful=doubtful,
        entry=logged,
        message=write(event),
    )


def of_wait(attempt: Attempt, reason: str, *, took: timedelta, doubtful: bool) -> Mark:
    """The SMS waits: nothing was sent, or (`doubtful`) it may have been and is sent once more all the same."""
    outcome = "unknown" if doubtful else "unsent"
    return Mark(
        sms_id=attempt.sms_id,
        token=attempt.token,
        number=attempt.number,
        status="waiting",
        reason=reason if doubtful else None,
        message_id=None,
        duration_ms=milliseconds(took),
        tried=True,
        doubtful=doubtful,
        entry=entry(attempt.number, attempt.started_at, outcome, reason, milliseconds(took)),
        message=None,
    )


def of_nothing(attempt: Attempt) -> Mark:
    """The SMS waits, and the attempt does not count: the carrier was not asked, or would not talk to us at all."""
    return Mark(
        sms_id=attempt.sms_id,
        token=attempt.token,
        number=attempt.number,
        status="waiting",
        reason=None,
        message_id=None,
        duration_ms=0,
        tried=False,
        doubtful=False,
        entry=None,
        message=None,
    )


def entry(number: int, at: datetime, outcome: str, reason: str | None, duration_ms: int | None) -> dict[str, Any]:
    """One attempt as the log keeps it: when it started, what came of it and how long the carrier took."""
    return {"number": number, "at": at.isoformat(), "outcome": outcome, "reason": reason, "duration_ms": duration_ms}


def milliseconds(duration: timedelta) -> int:
    """Whole milliseconds."""
    return round(duration / timedelta(milliseconds=1))
