"""What may happen to an SMS, judged from its ledger row: the rules about attempts, leases, doubt and expiry."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from time import monotonic
from typing import Any
from uuid import UUID

from sms_sender import outcomes
from sms_sender.outcomes import Outcome

OTP = "otp.requested"
WORTH_A_SECOND_OTP = timedelta(seconds=30)
"""An OTP in doubt is sent once more only while the person still has this long to type it in."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """The right to hand one SMS to the carrier once, as long as its lease lasts.

    `lease` and `valid` are what was left of the lease and of the SMS's validity, by the database's clock, when the
    claim was asked for (`asked_at`, our monotonic clock): so never less than what is left now says. `history` is the
    log of the attempts before.
    """

    sms_id: UUID
    token: UUID
    number: int
    series: int
    about: str
    source_id: str
    segments: int
    ambiguous: int
    started_at: datetime
    lease: timedelta
    valid: timedelta
    asked_at: float = field(default_factory=monotonic)
    history: Sequence[Mapping[str, Any]] = ()

    @property
    def lease_left(self) -> timedelta:
        """How long nobody else may take the SMS over."""
        return self.lease - self._age

    @property
    def valid_left(self) -> timedelta:
        """How long until the SMS expires."""
        return self.valid - self._age

    @property
    def worth_another(self) -> bool:
        """Whether the SMS is to be sent once more if this attempt ends in doubt."""
        return worth_another(self.about, ambiguous=self.ambiguous, valid=self.valid_left)

    @property
    def doubt(self) -> str | None:
        """Why nobody knows what became of an attempt before this one; None when no such doubt is left."""
        if not self.ambiguous:
            return None
        reasons = (entry["reason"] for entry in reversed(self.history) if entry["outcome"] == "unknown")
        return next(reasons, outcomes.LEASE_RAN_OUT)

    @property
    def _age(self) -> timedelta:
        return timedelta(seconds=monotonic() - self.asked_at)


@dataclass(frozen=True, slots=True)
class State:
    """A ledger row at the moment `now`; `closed` tells whether its subject or user has been closed."""

    now: datetime
    status: str
    reason: str | None
    about: str
    expires_at: datetime
    ambiguous: int
    lease_until: datetime | None
    claimed_by: UUID | None
    closed: bool


@dataclass(frozen=True, slots=True)
class Start:
    """A new attempt starts. `lost`: the one before is given up as in doubt. `reopens`: it opens a new series."""

    lost: bool = False
    reopens: bool = False


@dataclass(frozen=True, slots=True)
class Resume:
    """The claim was made by this caller already, who never heard so: the same attempt goes on."""


@dataclass(frozen=True, slots=True)
class Held:
    """Another worker's attempt runs."""


@dataclass(frozen=True, slots=True)
class Settled:
    """It has its end."""


@dataclass(frozen=True, slots=True)
class End:
    """It ends now. `lost`: because its last attempt started and was never heard of again."""

    outcome: Outcome
    lost: bool = False


Verdict = Start | Resume | Held | Settled | End


def verdict(state: State, *, token: UUID) -> Verdict:
    """What a delivery of the SMS leads to for a caller that claims under `token`."""
    valid = state.expires_at - state.now
    match state.status:
        case "claimed" if state.claimed_by == token:
            return Resume()
        case "claimed" if _is_live(state):
            return Held()
        case "claimed":
            if worth_another(state.about, ambiguous=state.ambiguous, valid=valid) and not state.closed:
                return Start(lost=True)
            return End(outcomes.unknown(outcomes.LEASE_RAN_OUT), lost=True)
        case "waiting" if state.closed:
            return End(_unless_in_doubt(state, outcomes.blocked(outcomes.WITHDRAWN)))
        case "waiting" if valid <= timedelta() or (state.ambiguous and valid < WORTH_A_SECOND_OTP):
            return End(_unless_in_doubt(state, outcomes.expired()))
        case "waiting":
            return Start()
        case "failed" if state.reason == outcomes.RETRIES_EXHAUSTED and not state.closed and valid > timedelta():
            return Start(reopens=True)
        case _:
            return Settled()


def verdict_when_exhausted(state: State) -> Verdict:
    """What used-up retries lead to."""
    match state.status:
        case "claimed" if _is_live(state):
            return Held()
        case "claimed":
            return End(outcomes.unknown(outcomes.LEASE_RAN_OUT), lost=True)
        case "waiting":
            return End(_unless_in_doubt(state, outcomes.failed(outcomes.RETRIES_EXHAUSTED)))
        case _:
            return Settled()


def end_when_refused(state: State, start: Start, refusal: Outcome) -> End:
    """How an SMS ends whose next attempt may `start` but for a budget or a limit."""
    if start.lost:
        return End(outcomes.unknown(outcomes.LEASE_RAN_OUT), lost=True)
    return End(_unless_in_doubt(state, refusal))


def worth_another(about: str, *, ambiguous: int, valid: timedelta) -> bool:
    """Whether an SMS that may or may not have been sent is sent once more: an OTP, once, while it is of use."""
    return about == OTP and ambiguous == 0 and valid >= WORTH_A_SECOND_OTP


def _unless_in_doubt(state: State, outcome: Outcome) -> Outcome:
    """After an attempt in doubt no end may claim that nothing was sent."""
    return outcomes.unknown(state.reason or outcomes.LEASE_RAN_OUT) if state.ambiguous else outcome


def _is_live(state: State) -> bool:
    return state.lease_until is not None and state.lease_until > state.now
