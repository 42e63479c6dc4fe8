"""Timelines: what happened to one delivery, in order, from the event that asked for it to its end."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from inbox_api.deliveries import Status
from inbox_api.records import Record

Step = Literal[
    "received", "rendered", "deferred", "handed_on_again", "attempted", "withdrawn", "ended", "read", "waiting"
]

QUIET_HOURS = "quiet_hours"
IN_OUTBOX = "in_outbox"
AT_SENDER = "at_sender"


@dataclass(frozen=True, slots=True)
class Entry:
    """One step of a delivery's way; what a step does not tell is None.

    `until` goes with `deferred` and `waiting`; `outcome`, `number` and `duration_ms` with `attempted`, where `number`
    is missing when the sender tells of all its attempts at once; `status` with `ended`; `event_id` and `event_type`
    name the event that was received, or that withdrew the delivery.
    """

    at: datetime
    step: Step
    reason: str | None = None
    status: Status | None = None
    until: datetime | None = None
    locale: str | None = None
    number: int | None = None
    outcome: str | None = None
    duration_ms: int | None = None
    devices_reached: int | None = None
    devices_dead: int | None = None
    event_id: str | None = None
    event_type: str | None = None


def timeline(record: Record) -> list[Entry]:
    """The steps of `record`: how it began, then what came of it in the order of time, then what it waits for."""
    later = [*_looks(record), *_attempts(record), *_withdrawal(record), *_ends(record), *_reading(record)]
    return [*_beginning(record), *sorted(later, key=_moment), *_waiting(record)]


def _moment(entry: Entry) -> datetime:
    return entry.at


def _beginning(record: Record) -> Iterator[Entry]:
    received = record.received_at or record.created_at
    yield Entry(received, "received", event_id=record.event_id, event_type=record.type)
    yield Entry(record.created_at, "rendered", locale=record.locale)
    if record.available_at is not None:
        yield Entry(record.created_at, "deferred", reason=QUIET_HOURS, until=record.available_at)


def _looks(record: Record) -> Iterator[Entry]:
    for at in record.handed_on_again:
        yield Entry(at, "handed_on_again")


def _attempts(record: Record) -> Iterator[Entry]:
    """What the sender told of each attempt; of a push, and of an SMS without a log, only what came of them together."""
    for attempt in record.attempt_log:
        yield Entry(
            datetime.fromisoformat(attempt["at"]),
            "attempted",
            number=attempt["number"],
            outcome=attempt["outcome"],
            reason=attempt.get("reason"),
            duration_ms=attempt.get("duration_ms"),
        )
    if record.attempt_log or record.ended_at is None:
        return
    if record.devices_reached is not None:
        yield Entry(
            record.ended_at,
            "attempted",
            outcome="sent" if record.devices_reached else "failed",
            reason=record.reason,
            devices_reached=record.devices_reached,
            devices_dead=record.devices_dead,
        )
    elif record.attempts:
        yield Entry(
            record.ended_at,
            "attempted",
            outcome=record.status,
            reason=record.reason,
            duration_ms=record.duration_ms,
        )


def _withdrawal(record: Record) -> Iterator[Entry]:
    if record.closed_at is not None and record.reason == "withdrawn":
        yield Entry(record.closed_at, "withdrawn", event_id=record.closed_by, event_type=record.closed_by_type)


def _ends(record: Record) -> Iterator[Entry]:
    for end in record.earlier_ends:
        if end["at"] is not None:
            yield Entry(datetime.fromisoformat(end["at"]), "ended", status=end["status"], reason=end["reason"])
    if record.ended_at is not None:
        yield Entry(record.ended_at, "ended", status=record.status, reason=record.reason)


def _reading(record: Record) -> Iterator[Entry]:
    if record.read_at is not None:
        yield Entry(record.read_at, "read")


def _waiting(record: Record) -> Iterator[Entry]:
    if record.status != "pending":
        return
    if record.in_outbox:
        since = record.handed_on_again[-1] if record.handed_on_again else record.created_at
        yield Entry(since, "waiting", reason=IN_OUTBOX, until=record.available_at)
    else:
        yield Entry(record.available_at or record.created_at, "waiting", reason=AT_SENDER, until=record.look_at)
