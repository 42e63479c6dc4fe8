"""Checking: a delivery that has had no end for some time is asked for again, or it is set down that nobody knows.

The request is forwarded under the same id, so the sender's ledger makes a copy harmless: a lost queue costs time only.
Of a request that is not kept, only the end is asked for.
"""

import asyncio
from collections import Counter as Tally
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

import structlog
from prometheus_client import Counter
from spacehub.errors import Away, Unreadable
from spacehub.events import envelope
from spacehub.events.envelope import STRUCTURED
from spacehub.quiet_hours import QuietHours, may_go
from spacehub.running import Backoff, Task, happens

from inbox_api.closings import Closing, of_user
from inbox_api.deliveries import count_ended
from inbox_api.ends import NO_OUTCOME, End
from inbox_api.seals import BrokenSeal, Seal
from inbox_api.unsettled import Findings, Unsettled, asking_for_the_end, next_look

log = structlog.get_logger()

_CHECKED = Counter("spacehub_inbox_deliveries_checked", "Deliveries without an end that were looked at", ["finding"])


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a delivery may be without an end, and the hours in which what is not critical rests."""

    after: timedelta
    quiet_hours: QuietHours | None


class Transaction(Protocol):
    """What is asked of the database for one look, in this order."""

    async def due(self, *, now: datetime, most: int) -> Mapping[UUID, AbstractSet[str]]:
        """The deliveries to look at, the longest due first, with the subjects that may have been closed; not held."""

    async def lock(self, *, shared: AbstractSet[str]) -> None:
        """Hold these subjects until the end, against those who close them."""

    async def hold(self, deliveries: Sequence[UUID], *, now: datetime) -> Sequence[Unsettled]:
        """Those of `deliveries` that are still to be looked at and that nobody else holds."""

    async def closings(self, subjects: AbstractSet[str]) -> Mapping[str, Closing]: ...

    async def write(self, findings: Findings) -> None: ...


class Store(Protocol):
    """The service's database."""

    def transaction(self) -> AbstractAsyncContextManager[Transaction]: ...


async def check(*, store: Store, seal: Seal, patience: Patience, now: datetime, most: int) -> Tally[str]:
    """Look at up to `most` deliveries without an end; how many there were of each finding."""
    async with store.transaction() as transaction:
        due = await transaction.due(now=now, most=most)
        if not due:
            return Tally()
        subjects = frozenset().union(*due.values())
        await transaction.lock(shared=subjects)
        unsettled = await transaction.hold(list(due), now=now)
        closings = await transaction.closings(subjects)
        look = _Look(seal, patience, {subject for subject, closing in closings.items() if closing.closed}, now)
        for delivery in unsettled:
            look.at(delivery)
        await transaction.write(look.findings)
    channels = {delivery.id: delivery.channel for delivery in unsettled}
    count_ended(Tally((channels[end.id], end.status, end.reason) for end in look.findings.ends))
    for finding, count in look.tally.items():
        _CHECKED.labels(finding).inc(count)
    if unreadable := look.tally["unreadable"]:
        log.error("sealed_under_another_key", count=unreadable)
    return look.tally


def checking(
    *,
    store: Store,
    seal: Seal,
    patience: Patience,
    clock: Callable[[], datetime],
    every: timedelta,
    most: int,
) -> Task:
    """A long task: a look at up to `most` deliveries every so often, so that what is handed on again comes paced."""

    async def keep_checking(stopping: asyncio.Event) -> None:
        backoff = Backoff()
        while not stopping.is_set():
            try:
                found = await check(store=store, seal=seal, patience=patience, now=clock(), most=most)
            except Away as away:
                log.warning("check_paused", reason=str(away))
                await backoff.wait(stopping)
                continue
            backoff.reset()
            if found:
                log.info("checked", **found)
            await happens(stopping, within=every.total_seconds())

    return keep_checking


class _Look:
    """One look: what was found so far."""

    def __init__(self, seal: Seal, patience: Patience, closed: AbstractSet[str], now: datetime) -> None:
        self.findings = Findings(now)
        self.tally: Tally[str] = Tally()
        self._seal = seal
        self._patience = patience
        self._closed = closed
        self._now = now

    def at(self, delivery: Unsettled) -> None:
        self.tally[self._found(delivery)] += 1

    def _found(self, delivery: Unsettled) -> str:
        after = self._patience.after
        if delivery.waits:
            return self._later(delivery, self._now + after, "waiting")
        if self._is_closed(delivery):
            self.findings.ends.append(End(delivery.id, "suppressed", "withdrawn", self._now))
            return "withdrawn"
        if self._now >= delivery.expires_at + after:
            self.findings.ends.append(End(delivery.id, "unknown", NO_OUTCOME, self._now))
            return "given_up"
        goes_at = self._now if delivery.critical else may_go(self._now, self._patience.quiet_hours)
        if goes_at > self._now:
            return self._later(delivery, goes_at + after, "resting")
        self.findings.look_again[delivery.id] = next_look(delivery, now=self._now, after=after), delivery.looked + 1
        if delivery.sealed is None:
            self.findings.forward.append((delivery, asking_for_the_end(delivery)))
            return "end_asked"
        try:
            body = self._seal.open(delivery.sealed, of=delivery.id)
            request = envelope.read(body, content_type=STRUCTURED, headers={})
        except (BrokenSeal, Unreadable):
            return "unreadable"
        self.findings.forward.append((delivery, request))
        return "forwarded"

    def _later(self, delivery: Unsettled, look_at: datetime, why: str) -> str:
        self.findings.look_again[delivery.id] = look_at, delivery.looked
        return why

    def _is_closed(self, delivery: Unsettled) -> bool:
        user = of_user(delivery.user_id) if delivery.user_id else None
        return not self._closed.isdisjoint({delivery.subject, user})
