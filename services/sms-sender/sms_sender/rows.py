"""What is done to one row of the ledger by whoever holds its lock."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import structlog
from prometheus_client import Counter
from spacehub import outbox
from spacehub.events.catalogue import EVENTS_EXCHANGE
from spacehub.events.envelope import Message, write

from sms_sender import allowance, marks, statements
from sms_sender.attempts import End, State
from sms_sender.outcomes import LEASE_RAN_OUT, UNSENT, Outcome, event_of

log = structlog.get_logger()

_ENDS = Counter("spacehub_sms_ends", "SMS that ended, by how and why", ["status", "reason"])


def state_of(row: Any) -> State:
    """The row as the rules see it."""
    return State(**{name: row[name] for name in State.__dataclass_fields__})


async def end(connection: Any, row: Any, outcome: Outcome, *, lost: bool = False) -> None:
    """The SMS ends with `outcome`, and the event that says so is published; `lost` as in `attempts.End`."""
    await end_all(connection, [(row, End(outcome, lost))])


async def end_all(connection: Any, ends: Sequence[tuple[Any, End]]) -> None:
    """Each SMS ends as told; those that were never sent give back what they took."""
    for row, verdict in ends:
        await _end(connection, row, verdict.outcome, lost=verdict.lost)
    await allowance.give_back(connection, [row for row, verdict in ends if verdict.outcome.status in UNSENT])


async def _end(connection: Any, row: Any, outcome: Outcome, *, lost: bool) -> None:
    entries = [lost_entry(row)] if lost else []
    ended = (outcome.status, outcome.reason, outcome.message_id, lost, entries, None)
    await connection.execute(statements.END, row["sms_id"], *ended)
    count_end(outcome.status, outcome.reason)
    log.info("ended", sms_id=str(row["sms_id"]), status=outcome.status, reason=outcome.reason)
    await publish(connection, _told_of(row, outcome, history=[*row["attempt_log"], *entries], at=row["now"]))


async def tell_again(connection: Any, row: Any) -> None:
    """Publish the end that the SMS has already, under the same id: whoever asks for it may never have heard of it."""
    outcome = Outcome(row["status"], row["reason"], row["message_id"])
    await publish(connection, _told_of(row, outcome, history=row["attempt_log"], at=row["settled_at"]))


async def publish(connection: Any, message: Message | None) -> None:
    """Write the event of an end, if it has one, to the outbox."""
    if message is not None:
        await outbox.write(connection, [outbox.row_of(message, exchange=EVENTS_EXCHANGE)])


def _told_of(row: Any, outcome: Outcome, *, history: Sequence[Mapping[str, Any]], at: datetime) -> Message:
    event = event_of(
        outcome,
        sms_id=row["sms_id"],
        source_id=row["source_id"],
        segments=row["segments"],
        series=row["series"],
        attempts=row["attempts"],
        duration_ms=row["duration_ms"],
        history=history,
        at=at,
    )
    return write(event)


def lost_entry(row: Any) -> dict[str, Any]:
    """The log's entry of an attempt that started and was never heard of again."""
    return marks.entry(row["attempts"], row["attempt_started_at"], "unknown", LEASE_RAN_OUT, None)


def count_end(status: str, reason: str | None) -> None:
    """Count an end among the metrics."""
    _ENDS.labels(status, reason or "").inc()
