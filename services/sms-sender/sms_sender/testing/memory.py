"""A ledger in memory: the same promises as the one in PostgreSQL, held to them by one contract test for both."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, cast
from uuid import UUID, uuid4

from pydantic import SecretStr
from spacehub.errors import NotNow
from spacehub.events.envelope import STRUCTURED, Event, Message, read, write
from spacehub.events.requests import SmsRequested
from spacehub.privacy import phone_trace

from sms_sender import marks
from sms_sender.attempts import (
    Attempt,
    End,
    Held,
    Resume,
    Settled,
    Start,
    State,
    Verdict,
    end_when_refused,
    verdict,
    verdict_when_exhausted,
)
from sms_sender.marks import Mark
from sms_sender.outcomes import LEASE_RAN_OUT, UNSENT, Outcome, Status, event_of
from sms_sender.testing.allowances import FakeAllowance

LEASE = timedelta(seconds=20)


@dataclass(slots=True)
class Row:
    """The columns of the table `sms` that change, and those that the rules read."""

    sms_id: UUID
    source_id: str
    about: str
    user_id: UUID | None
    owner_id: UUID | None
    subject: str | None
    critical: bool
    phone_hash: bytes
    expires_at: datetime
    segments: int
    status: str = "waiting"
    reason: str | None = None
    message_id: str | None = None
    attempts: int = 0
    ambiguous: int = 0
    series: int = 1
    lease_until: datetime | None = None
    claimed_by: UUID | None = None
    attempt_started_at: datetime | None = None
    duration_ms: int = 0
    attempt_log: list[dict[str, Any]] = field(default_factory=list)
    settled_at: datetime | None = None
    budget_month: date | None = None


class FakeLedger:
    """The ledger's promises, kept in memory."""

    def __init__(self, *, lease: timedelta = LEASE, ceiling: int | None = None) -> None:
        self.rows: dict[UUID, Row] = {}
        self.messages: dict[str, Message] = {}
        self.allowance = FakeAllowance(publish=self._publish, ceiling=ceiling)
        self.closed: set[str] = set()
        self._lease = lease
        self._failures: dict[str, list[Exception]] = {}

    @property
    def events(self) -> list[Event]:
        """What it published, in order."""
        return [read(message.body, content_type=STRUCTURED, headers={}) for message in self.messages.values()]

    def fail_next(self, call: str, error: Exception) -> None:
        """The next `claim`, `record`, `release`, … raises `error` and changes nothing."""
        self._failures.setdefault(call, []).append(error)

    async def claim(self, sms: SmsRequested, *, segments: int) -> Attempt | None:
        self._fail("claim")
        token = uuid4()
        return self._judge(sms, segments, lambda state: verdict(state, token=token), token)

    async def record(self, attempt: Attempt, outcome: Outcome, *, took: timedelta) -> None:
        self._fail("record")
        self._mark(marks.of_end(attempt, outcome, took=took, at=datetime.now(UTC)))

    async def release(self, attempt: Attempt, reason: str, *, took: timedelta) -> None:
        self._fail("release")
        self._mark(marks.of_wait(attempt, reason, took=took, doubtful=False))

    async def doubt(self, attempt: Attempt, reason: str, *, took: timedelta) -> None:
        self._fail("doubt")
        self._mark(marks.of_wait(attempt, reason, took=took, doubtful=True))

    async def give_back(self, attempt: Attempt) -> None:
        self._fail("give_back")
        self._mark(marks.of_nothing(attempt))

    async def exhaust(self, sms: SmsRequested, *, segments: int) -> None:
        self._fail("exhaust")
        try:
            self._judge(sms, segments, verdict_when_exhausted, uuid4())
        except NotNow:
            return

    async def tell(self, sms_id: UUID) -> None:
        self._fail("tell")
        row = self.rows.get(sms_id)
        if row is not None and row.settled_at is not None:
            self._tell(row, Outcome(cast(Status, row.status), row.reason, row.message_id), at=row.settled_at)

    def _fail(self, call: str) -> None:
        if self._failures.get(call):
            raise self._failures[call].pop(0)

    def _judge(self, sms: SmsRequested, segments: int, rule: Callable[[State], Verdict], token: UUID) -> Attempt | None:
        now = datetime.now(UTC)
        row = self.rows.setdefault(sms.sms_id, _row_of(sms, segments))
        user = f"user:{row.user_id}" if row.user_id else None
        closed = not self.closed.isdisjoint({row.subject, user})
        known = asdict(row)
        names = [name for name in State.__dataclass_fields__ if name in known]
        state = State(now=now, closed=closed, **{name: known[name] for name in names})
        match rule(state):
            case Held():
                raise NotNow("another_attempt_runs", not_after=sms.expires_at)
            case Settled():
                return None
            case End(outcome, lost):
                self._end(row, outcome, lost=lost, now=now)
                return None
            case Resume():
                return self._attempt(row, token, now)
            case Start(lost, reopens) as step:
                if refusal := self.allowance.take(row, now=now):
                    end = end_when_refused(state, step, refusal)
                    self._end(row, end.outcome, lost=end.lost, now=now)
                    return None
                if lost:
                    self._lose(row)
                    row.reason = LEASE_RAN_OUT
                if reopens:
                    row.series, row.reason = row.series + 1, None
                row.status, row.settled_at = "claimed", None
                row.attempts += 1
                row.claimed_by, row.attempt_started_at = token, now
                return self._attempt(row, token, now)

    def _attempt(self, row: Row, token: UUID, now: datetime) -> Attempt:
        assert row.attempt_started_at is not None
        row.lease_until = now + self._lease
        return Attempt(
            sms_id=row.sms_id,
            token=token,
            number=row.attempts,
            series=row.series,
            about=row.about,
            source_id=row.source_id,
            segments=row.segments,
            ambiguous=row.ambiguous,
            started_at=row.attempt_started_at,
            lease=self._lease,
            valid=row.expires_at - now,
            history=tuple(row.attempt_log),
        )

    def _lose(self, row: Row) -> None:
        assert row.attempt_started_at is not None
        row.ambiguous += 1
        row.attempt_log.append(marks.entry(row.attempts, row.attempt_started_at, "unknown", LEASE_RAN_OUT, None))

    def _end(self, row: Row, outcome: Outcome, *, lost: bool, now: datetime) -> None:
        if lost:
            self._lose(row)
        row.status, row.reason, row.message_id = outcome.status, outcome.reason, outcome.message_id
        row.lease_until, row.settled_at = None, now
        self._tell(row, outcome, at=now)
        if outcome.status in UNSENT:
            self.allowance.give_back(row)

    def _tell(self, row: Row, outcome: Outcome, *, at: datetime) -> None:
        event = event_of(
            outcome,
            sms_id=row.sms_id,
            source_id=row.source_id,
            segments=row.segments,
            series=row.series,
            attempts=row.attempts,
            duration_ms=row.duration_ms,
            history=row.attempt_log,
            at=at,
        )
        self._publish(event)

    def _publish(self, event: Event) -> None:
        self.messages[event.id] = write(event)

    def _mark(self, mark: Mark) -> None:
        row = self.rows[mark.sms_id]
        corrects = row.status == "unknown" and not mark.doubtful and mark.status != "unknown"
        if row.claimed_by == mark.token and (row.status == "claimed" or corrects):
            if corrects:
                row.ambiguous -= 1
            if mark.doubtful:
                row.ambiguous += 1
            if not mark.tried:
                row.attempts -= 1
            if mark.status != "waiting" or mark.doubtful or corrects:
                row.reason = mark.reason
            self._write_down(row, mark)
        elif mark.entry and mark.entry not in row.attempt_log:
            if mark.status == "sent" and row.status != "sent":
                row.reason = mark.reason
                self._write_down(row, mark)
            else:
                row.attempt_log.append(mark.entry)

    def _write_down(self, row: Row, mark: Mark) -> None:
        row.status, row.message_id = mark.status, mark.message_id
        row.lease_until = None
        row.settled_at = None if mark.status == "waiting" else datetime.now(UTC)
        if mark.entry:
            row.duration_ms = mark.duration_ms
            row.attempt_log.append(mark.entry)
        if mark.message is not None:
            self.messages[mark.message.id] = mark.message
        if mark.status in UNSENT:
            self.allowance.give_back(row)


def _row_of(sms: SmsRequested, segments: int) -> Row:
    return Row(
        sms_id=sms.sms_id,
        source_id=sms.source_id,
        about=sms.about,
        user_id=sms.user_id,
        owner_id=sms.owner_id,
        subject=sms.subject,
        critical=sms.critical,
        phone_hash=phone_trace(sms.phone, key=SecretStr("a key of no use")).hash,
        expires_at=sms.expires_at,
        segments=segments,
    )
