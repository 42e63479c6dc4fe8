"""Handing an SMS to the carrier once, however often the broker delivers the request for it."""

import traceback
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Protocol

import structlog
from prometheus_client import Histogram
from spacehub.errors import NotNow, TemporaryFailure
from spacehub.events.requests import SmsRequested
from spacehub.segments import size_of
from spacehub.tracing import spans

from sms_sender import outcomes
from sms_sender.attempts import Attempt
from sms_sender.fates import Accepted, CredentialsRefused, NoAnswer, RateLimited, Refused
from sms_sender.outcomes import Outcome
from sms_sender.phone import mobile_number

log = structlog.get_logger()

_LATENCY = Histogram(
    "spacehub_sms_event_to_gateway_seconds",
    "Time from when an SMS was due (its event's, unless it was put off) until the carrier took it",
    ["lane"],
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2, 3, 5, 10, 30, 60, 300, 1800, 7200),
)

SECOND_TRY = timedelta(seconds=5)
"""How soon an OTP in doubt is sent once more."""


class Gateway(Protocol):
    """The carrier, asked once per call. Being cancelled tells nothing: the text may be out."""

    async def send(self, to: str, text: str) -> Accepted: ...


class Lane(Protocol):
    """The way to the carrier, which may rest or be narrow."""

    def passage(self, *, until: datetime) -> AbstractAsyncContextManager[Gateway]:
        """The carrier for one SMS that is valid `until`, once it may go. Raises NotNow when it is held for too long."""
        ...


class Ledger(Protocol):
    """Who may send which SMS now, and what became of it."""

    async def claim(self, sms: SmsRequested, *, segments: int) -> Attempt | None: ...
    async def record(self, attempt: Attempt, outcome: Outcome, *, took: timedelta) -> None: ...
    async def release(self, attempt: Attempt, reason: str, *, took: timedelta) -> None: ...
    async def doubt(self, attempt: Attempt, reason: str, *, took: timedelta) -> None: ...
    async def give_back(self, attempt: Attempt) -> None: ...
    async def exhaust(self, sms: SmsRequested, *, segments: int) -> None: ...


async def send_in_turn(sms: SmsRequested, *, lane: Lane, ledger: Ledger, deadline: timedelta) -> None:
    """Send `sms` when its lane lets it pass; it is claimed only then, so that no lease runs while it waits."""
    async with lane.passage(until=sms.expires_at) as gateway:
        await send_sms(sms, gateway=gateway, ledger=ledger, deadline=deadline)


async def send_sms(sms: SmsRequested, *, gateway: Gateway, ledger: Ledger, deadline: timedelta) -> None:
    """Hand `sms` to the carrier and record what became of it; a second delivery of the same request changes nothing.

    No call starts with less than `deadline`, the longest it may take, left of the lease. Raises TemporaryFailure when
    it is to be tried again: only what was definitely not sent, and once an OTP of which nobody knows.
    """
    attempt = await ledger.claim(sms, segments=size_of(sms.text).segments)
    if attempt is None:
        return
    with spans.span("attempt sms", sms_id=str(sms.sms_id), attempt=attempt.number, about=sms.about):
        await _make(attempt, sms, gateway=gateway, ledger=ledger, deadline=deadline)


async def _make(attempt: Attempt, sms: SmsRequested, *, gateway: Gateway, ledger: Ledger, deadline: timedelta) -> None:
    if attempt.lease_left < deadline or attempt.valid_left <= timedelta():
        await ledger.give_back(attempt)
        raise NotNow("claim_too_old", not_after=sms.expires_at)
    started = monotonic()
    try:
        accepted = await gateway.send(mobile_number(sms.phone), sms.text)
    except Refused as refusal:
        outcome = outcomes.failed(refusal.reason)
    except NoAnswer as silence:
        outcome = outcomes.unknown(silence.reason)
    except (CredentialsRefused, RateLimited, NotNow) as refusal:
        await ledger.give_back(attempt)
        raise NotNow(refusal.reason, retry_in=refusal.retry_in, not_after=sms.expires_at) from refusal
    except TemporaryFailure as failure:
        await ledger.release(attempt, failure.reason, took=_since(started))
        raise TemporaryFailure(failure.reason, retry_in=failure.retry_in, not_after=sms.expires_at) from failure
    except Exception as fault:
        _log_without_values(sms, fault)
        outcome = outcomes.unknown("unexpected")
    else:
        outcome = outcomes.sent(accepted.message_id)
        if sms.due_at is not None:
            waited = (datetime.now(UTC) - sms.due_at).total_seconds()
            _LATENCY.labels("critical" if sms.critical else "standard").observe(max(0.0, waited))
    await _conclude(sms, attempt, outcome, took=_since(started), ledger=ledger)


async def give_up(sms: SmsRequested, *, ledger: Ledger) -> None:
    """Record that the retries of `sms` are used up."""
    await ledger.exhaust(sms, segments=size_of(sms.text).segments)


async def _conclude(sms: SmsRequested, attempt: Attempt, outcome: Outcome, *, took: timedelta, ledger: Ledger) -> None:
    if outcome.status == "unknown" and outcome.reason and attempt.worth_another:
        await ledger.doubt(attempt, outcome.reason, took=took)
        raise TemporaryFailure(outcome.reason, retry_in=SECOND_TRY, not_after=sms.expires_at)
    await ledger.record(attempt, outcome, took=took)


def _since(started: float) -> timedelta:
    return timedelta(seconds=monotonic() - started)


def _log_without_values(sms: SmsRequested, fault: Exception) -> None:
    """Where it happened, not what it says: an error's words may quote the number or the text."""
    where = traceback.format_tb(fault.__traceback__)
    log.error("gateway_client_broke", sms_id=str(sms.sms_id), error=type(fault).__name__, where=where)
