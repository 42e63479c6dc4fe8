"""The lanes to the carrier: when a message may go, and what the carrier's answers mean for those behind it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Protocol

from prometheus_client import Counter, Gauge, Histogram
from spacehub.breaker import Breaker, State
from spacehub.errors import NotNow
from spacehub.outbox import Lane as LaneName
from spacehub.running import Task, happens

from sms_sender.fates import (
    Accepted,
    CeilingReached,
    CredentialsRefused,
    GatewayUnavailable,
    NoAnswer,
    RateLimited,
    Refused,
)
from sms_sender.pacing import Permit
from sms_sender.places import Place, Places

HOLD = 10.0
"""Seconds a message is kept waiting for the end of a rest; then it goes to a retry tier, with a confirm and an ack."""

QUEUE = 30.0
"""The same for a message that waits for its permit."""

LONGEST_REST = timedelta(hours=1)
"""However long the carrier asks us to stay away, one message asks again this soon."""

CRITICAL_WAITS = timedelta(seconds=30)
"""The same for the critical lane."""

NO_WAIT = timedelta(seconds=1)
"""A Retry-After below this says nothing."""

_ANSWERS = Counter("spacehub_sms_answers", "What the carrier answered, and why", ["lane", "answer", "reason"])
_SECONDS = Histogram(
    "spacehub_sms_gateway_seconds",
    "Time the carrier took to answer",
    ["lane"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 3, 5, 7.5, 10),
)
_REFUSED = Gauge("spacehub_sms_credentials_refused", "1 while the carrier refuses our account: look at its password")


class Gateway(Protocol):
    """The carrier, asked once per call."""

    async def send(self, to: str, text: str) -> Accepted: ...


class Pace(Protocol):
    """Permits for single calls, when the carrier's limit is known. Raises Away."""

    async def ask(self, lane: LaneName) -> Permit: ...


class Lane:
    """One lane, with `places` at the carrier: a text has one from before its claim until it is answered.

    It rests when the carrier fails to answer; `account_refused` is told what concerns all lanes.
    """

    def __init__(
        self,
        name: LaneName,
        *,
        gateway: Gateway,
        places: int,
        breaker: Breaker,
        account_refused: Callable[[RateLimited | CredentialsRefused], None],
        pace: Pace | None = None,
        hold: float = HOLD,
        queue: float = QUEUE,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.name = name
        self.gateway = gateway
        self.places = Places(places)
        self.breaker = breaker
        self.account_refused = account_refused
        self._pace = pace
        self._hold = hold
        self._queue = queue
        self._now = now
        self._news = asyncio.Event()
        self._stopping = asyncio.Event()

    @asynccontextmanager
    async def passage(self, *, until: datetime) -> AsyncIterator["Passage"]:
        """The way to the carrier for one message, once it may go; what is past `until` needs no leave, nor gets any.

        Raises NotNow when the lane rests for longer than a message is held, or is told to stop meanwhile; and Away.
        """
        give_up = monotonic() + self._hold
        with await self.places.take(until=until, stopping=self._stopping) as place:
            passage = await self._enter(until, place, give_up=give_up)
            try:
                yield passage
            except CeilingReached as stop:
                self.rest(stop)
                raise
            finally:
                passage.leave()

    def attended(self, task: Task) -> Task:
        """`task`, which brings this lane its messages: when told to stop, those that wait here are handed back."""

        async def run(stopping: asyncio.Event) -> None:
            self._stopping = stopping
            telling = asyncio.ensure_future(stopping.wait())
            telling.add_done_callback(lambda _: self.tell())
            try:
                await task(stopping)
            finally:
                telling.cancel()

        return run

    def rest(self, refusal: RateLimited | CredentialsRefused | CeilingReached) -> None:
        """Rest because the carrier refuses the account, or we went as far as we may; as long as was asked for."""
        if isinstance(refusal, CredentialsRefused):
            _REFUSED.set(1)
        waits_less = isinstance(refusal, RateLimited) and self.name == "critical"
        longest = CRITICAL_WAITS if waits_less else LONGEST_REST
        wish = refusal.retry_in if refusal.retry_in and refusal.retry_in >= NO_WAIT else None
        self.breaker.rest(refusal.reason, exactly=wish, longest=longest)
        self.tell()

    def tell(self) -> None:
        """Whoever waits in this lane looks again."""
        news, self._news = self._news, asyncio.Event()
        news.set()

    async def _enter(self, until: datetime, place: Place, *, give_up: float) -> "Passage":
        while (valid := (until - self._now()).total_seconds()) > 0:
            if self.breaker.admits():
                passage = Passage(self, place)
                if await self._permitted(passage, until):
                    return passage
                continue
            left = give_up - monotonic()
            if left <= 0 or self._stopping.is_set():
                raise NotNow(f"resting: {self.breaker.reason}", retry_in=self.breaker.rest_left, not_after=until)
            await happens(self._news, within=min(left, valid, self.breaker.rest_left.total_seconds() or left))
        return Passage(self, place, admitted=False)

    async def _permitted(self, passage: "Passage", until: datetime) -> bool:
        """Whether `passage` may be used: False when a rest began, or its time ran out, before its permit came."""
        if self._pace is None:
            return True
        give_up = monotonic() + self._queue
        try:
            while not passage.is_outdated() and self._now() < until:
                permit = await self._pace.ask(self.name)
                if await self._sit_out(permit.wait, passage) and permit.given:
                    return True
                if self._stopping.is_set() or monotonic() > give_up:
                    raise NotNow("no_permit", not_after=until)
        except BaseException:
            passage.leave()
            raise
        passage.leave()
        return False

    async def _sit_out(self, wait: timedelta, passage: "Passage") -> bool:
        """Wait so long; False when a rest begins meanwhile, or the end."""
        ready = monotonic() + wait.total_seconds()
        while (left := ready - monotonic()) > 0:
            if self._stopping.is_set() or passage.is_outdated():
                return False
            await happens(self._news, within=left)
        return not passage.is_outdated()


class Passage:
    """The carrier for one message of a lane; the lane hears what it answers, and then the message needs no `place`."""

    def __init__(self, lane: Lane, place: Place, *, admitted: bool = True) -> None:
        self._lane = lane
        self._place = place
        self._admitted = admitted
        self._is_open = admitted
        self._rests_begun = lane.breaker.rests_begun

    def is_outdated(self) -> bool:
        """Whether the lane began to rest since: an answer says nothing new about it then."""
        return self._rests_begun != self._lane.breaker.rests_begun

    async def send(self, to: str, text: str) -> Accepted:
        """Ask the carrier. Raises what it raises, and NotNow for a message that was let through only to expire."""
        if not self._admitted:
            raise NotNow("expiring")
        try:
            try:
                with _SECONDS.labels(self._lane.name).time():
                    accepted = await self._lane.gateway.send(to, text)
            finally:
                self._place.give_up()
        except (RateLimited, CredentialsRefused) as refusal:
            self._count(refusal)
            self._lane.account_refused(refusal)
            self._is_open = False
            raise type(refusal)(refusal.reason, retry_in=self._lane.breaker.rest_left) from refusal
        except Refused as refusal:
            self._count(refusal)
            self._answered()
            raise
        except Exception as failure:
            self._count(failure)
            self._failed(failure)
            raise
        self._count(accepted)
        self._answered()
        return accepted

    def leave(self) -> None:
        """The message is through. If it was the probe and the carrier never answered, the next one is the probe."""
        if self._is_open and not self.is_outdated():
            self._lane.breaker.undecided()
            if self._lane.breaker.state is State.PROBE_DUE:
                self._lane.tell()
        self._is_open = False

    def _answered(self) -> None:
        self._is_open = False
        _REFUSED.set(0)
        if not self.is_outdated():
            was_open = self._lane.breaker.state is State.OPEN
            self._lane.breaker.succeeded()
            if not was_open:
                self._lane.tell()

    def _failed(self, failure: Exception) -> None:
        self._is_open = False
        if self.is_outdated():
            return
        reason = failure.reason if isinstance(failure, GatewayUnavailable | NoAnswer) else "unexpected"
        wish = failure.retry_in if isinstance(failure, GatewayUnavailable) else None
        longest = CRITICAL_WAITS if self._lane.name == "critical" else LONGEST_REST
        self._lane.breaker.failed(reason, retry_in=wish and min(wish, longest))
        if self.is_outdated():
            self._lane.tell()

    def _count(self, answer: object) -> None:
        _ANSWERS.labels(self._lane.name, type(answer).__name__, getattr(answer, "reason", "")).inc()
