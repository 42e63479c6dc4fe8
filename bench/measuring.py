"""Measuring ways to do the same side by side: in turns, so that a busy machine is busy for all of them."""

import gc
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

import psutil

ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Sample:
    """What one turn of one way did. `cpu` is in seconds and `mib` the memory at its end, of our processes together."""

    count: int
    seconds: float
    cpu: float = 0.0
    mib: float = 0.0

    @property
    def rate(self) -> float:
        """How many a second."""
        return self.count / self.seconds

    @property
    def cpu_each(self) -> float:
        """Microseconds of CPU for one."""
        return self.cpu / self.count * 1e6


Way = Callable[[], Awaitable[Sample]]


@dataclass(frozen=True, slots=True)
class Goal:
    """What was found, and what was hoped for: at least, or at most, `wanted`. None: nothing was hoped for."""

    what: str
    found: float
    wanted: float | None = None
    at_most: bool = False
    unit: str = "×"

    @property
    def met(self) -> bool | None:
        """Whether the hope came true."""
        if self.wanted is None:
            return None
        return self.found <= self.wanted if self.at_most else self.found >= self.wanted

    @property
    def line(self) -> str:
        """For people, e.g. `forwarder / one row a transaction: 17.2 × (goal: at least 15 ×, met)`."""
        told = f"{self.what}: {_number(self.found)} {self.unit}"
        if self.wanted is None:
            return told
        bound = "at most" if self.at_most else "at least"
        return f"{told} (goal: {bound} {_number(self.wanted)} {self.unit}, {'met' if self.met else '**not met**'})"


@dataclass(frozen=True, slots=True)
class Findings:
    """What a stage found: its ratios, and the figures they were made of as a table."""

    goals: Sequence[Goal]
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = field(default_factory=tuple)


class Unavailable(Exception):
    """A stage needs what this machine cannot give; the text says what."""


async def in_turns(ways: Mapping[str, Way], *, rounds: int = ROUNDS) -> dict[str, list[Sample]]:
    """Each of `ways` once a round, for so many rounds; the samples of a round lie side by side."""
    samples: dict[str, list[Sample]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            gc.collect()
            samples[name].append(await way())
    return samples


def ratio(of: Sequence[Sample], to: Sequence[Sample], by: Callable[[Sample], float] = lambda one: one.rate) -> float:
    """The median, over the rounds, of how many times larger `of` is than `to`."""
    return median(by(ours) / by(theirs) for ours, theirs in zip(of, to, strict=True))


def middle(samples: Sequence[Sample], by: Callable[[Sample], float] = lambda one: one.rate) -> float:
    """The median of a figure."""
    return median(map(by, samples))


def spread(samples: Sequence[Sample], by: Callable[[Sample], float] = lambda one: one.rate) -> str:
    """The median of a figure with its lowest and highest, e.g. `1,980 (1,710 to 2,050)`."""
    figures = sorted(map(by, samples))
    return f"{_number(median(figures))} ({_number(figures[0])} to {_number(figures[-1])})"


class Meter:
    """Time and CPU from now on, of the processes `pids` with all their children; without any, of this process."""

    def __init__(self, pids: Sequence[int] = ()) -> None:
        self._pids = pids
        self._busy = self._cpu()
        self._began = time.perf_counter()

    def read(self, count: int) -> Sample:
        """What it was for `count` pieces of work."""
        seconds = time.perf_counter() - self._began
        family = self._family()
        mib = sum(process.memory_info().rss for process in family) / 2**20
        return Sample(count, seconds, self._cpu() - self._busy, mib)

    def _cpu(self) -> float:
        times = [process.cpu_times() for process in self._family()]
        return sum(each.user + each.system for each in times)

    def _family(self) -> list[psutil.Process]:
        if not self._pids:
            return [psutil.Process()]
        heads = [psutil.Process(pid) for pid in self._pids]
        return [*heads, *(child for head in heads for child in head.children(recursive=True))]


def _number(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 3 else f"{value:.2f}"
