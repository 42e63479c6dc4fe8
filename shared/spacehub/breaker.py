"""A breaker: rests what does not work now, lets one probe through when the rest is over, rests longer if it fails."""

import enum
from collections import deque
from collections.abc import Callable
from datetime import timedelta
from time import monotonic

import structlog
from prometheus_client import Counter, Gauge

log = structlog.get_logger()

_RESTS = Counter("spacehub_rests", "Rests begun because the other side fails us", ["what"])
_RESTING = Gauge("spacehub_resting", "1 while a lane (or a part of it) rests because the other side fails it", ["what"])

PROBE_LIMIT = 60.0
"""Seconds after which a probe that nobody told the end of is given up."""


class State(enum.Enum):
    """Where a breaker stands."""

    OPEN = "open"
    RESTING = "resting"
    PROBE_DUE = "probe due"
    PROBING = "probing"


class Breaker:
    """Whether messages of `what` (a lane, a platform) may go out now.

    `failures` of them within `within` seconds, with no success between, begin a rest of `first` seconds; each failed
    probe doubles it up to `longest`. Every success ends the rest. Each `admits()` that said yes wants to be followed
    by one of `succeeded`, `failed`, `rest` or `undecided`.
    """

    def __init__(
        self,
        what: str,
        *,
        failures: int = 5,
        within: float = 10.0,
        first: float = 5.0,
        longest: float = 60.0,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._what = what
        self._limit = failures
        self._within = within
        self._first = first
        self._longest = longest
        self._clock = clock
        self._failures: deque[float] = deque(maxlen=failures)
        self._next = first
        self._rests_until: float | None = None
        self._probing_until: float | None = None
        self.reason = ""
        """What the latest rest began with."""
        self.rests_begun = 0
        """An answer to what was asked before the newest rest began is old news: it should not end that rest."""
        _RESTING.labels(what).set(0)
        _RESTS.labels(what)

    @property
    def state(self) -> State:
        """Where it stands now."""
        now = self._clock()
        if self._rests_until is None:
            return State.OPEN
        if now < self._rests_until:
            return State.RESTING
        if self._probing_until is not None and now < self._probing_until:
            return State.PROBING
        return State.PROBE_DUE

    @property
    def rests(self) -> bool:
        """Whether nothing may go out now, because of a rest or because somebody else's probe is on its way."""
        return self.state in (State.RESTING, State.PROBING)

    @property
    def rest_left(self) -> timedelta:
        """How long the rest still lasts."""
        return timedelta(seconds=max(0.0, (self._rests_until or 0.0) - self._clock()))

    def admits(self) -> bool:
        """Whether this message may go out; when a probe is due it is the probe."""
        match self.state:
            case State.OPEN:
                return True
            case State.PROBE_DUE:
                self._probing_until = self._clock() + PROBE_LIMIT
                return True
            case _:
                return False

    def succeeded(self) -> None:
        """A message was answered as it should be."""
        self._failures.clear()
        self._next = self._first
        if self._rests_until is not None:
            log.info("rest_over", what=self._what)
            self._rests_until = self._probing_until = None
            _RESTING.labels(self._what).set(0)

    def failed(self, reason: str, *, retry_in: timedelta | None = None) -> None:
        """A message was not answered, or not as it should be."""
        now = self._clock()
        self._failures.append(now)
        enough = len(self._failures) == self._limit and now - self._failures[0] <= self._within
        if self.state is State.PROBING or (self.state is State.OPEN and enough):
            self._begin_rest(reason, retry_in)

    def rest(
        self,
        reason: str,
        *,
        retry_in: timedelta | None = None,
        exactly: timedelta | None = None,
        longest: timedelta | None = None,
    ) -> None:
        """Rest at once: the next message would fare no better.

        At least `retry_in`, or `exactly` as long as told, but never longer than `longest`.
        """
        if self.state in (State.OPEN, State.PROBING):
            self._begin_rest(reason, retry_in, exactly=exactly, longest=longest)

    def undecided(self) -> None:
        """The admitted message told nothing: if it was the probe, another one is due."""
        self._probing_until = None

    def _begin_rest(
        self,
        reason: str,
        retry_in: timedelta | None,
        *,
        exactly: timedelta | None = None,
        longest: timedelta | None = None,
    ) -> None:
        seconds = max(self._next, retry_in.total_seconds() if retry_in else 0.0)
        if exactly is not None:
            seconds = exactly.total_seconds()
        else:
            self._next = min(self._next * 2, self._longest)
        if longest is not None:
            seconds = min(seconds, longest.total_seconds())
        self.rests_begun += 1
        self._rests_until = self._clock() + seconds
        self._probing_until = None
        self._failures.clear()
        self.reason = reason
        _RESTING.labels(self._what).set(1)
        _RESTS.labels(self._what).inc()
        log.error("rest", what=self._what, reason=reason, seconds=seconds)
