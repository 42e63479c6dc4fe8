"""Runs experiments: a few systems at a time, each with load, fault, quiet, and the count."""

import asyncio
import traceback
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

import asyncpg
import httpx
from spacehub_dev.provisioning.servers import Report

from tests.faults import checking
from tests.faults.checking import Counts
from tests.faults.experiment import Experiment
from tests.faults.load import Offering
from tests.faults.world import Setting, World, open_world

STILL = 2.0
"""Seconds for which it must stay quiet, longer than the broker's numbers are old."""
FAULT_LASTS = 300.0
"""Seconds after which a fault that is not over breaks its experiment off."""


@dataclass(frozen=True)
class Result:
    """One experiment as it went. `happened` is the fault's own word."""

    experiment: Experiment
    happened: str
    counts: Counts
    seconds: float

    @property
    def line(self) -> str:
        """The result on one line of a terminal."""
        counts = self.counts
        told = (
            f"lost {counts.lost}, recovered {counts.recovered}, unexpected {counts.unexpected},"
            f" duplicated {counts.duplicated}, in doubt {counts.ambiguous}"
        )
        held = "holds" if counts.hold else "DOES NOT HOLD"
        return f"{self.experiment.name}: {held}; {told}; {self.happened}; {self.seconds:.0f} s"


async def run(world: World, experiment: Experiment) -> Result:
    """Offer the load, let the fault happen when a third of it is confirmed, wait for the end, and count."""
    began = monotonic()
    await world.behave()
    await world.forget_texts()
    await checking.observe(world.amqp_url)
    await checking.observed(world.amqp_url)
    offering = Offering(f"/faults/{experiment.name.replace(' ', '-')}/{began:.0f}")
    loading = asyncio.create_task(world.client.offer(offering, experiment.load))
    problems = []
    try:
        await world.confirmed(offering, experiment.load.size // 3)
        async with asyncio.timeout(FAULT_LASTS):
            happened = await experiment.fault(world, offering)
        healed = datetime.now(UTC)
        async with asyncio.timeout(experiment.patience):
            await loading
    finally:
        loading.cancel()
    if not await _quiet(world, offering, within=experiment.patience):
        problems.append(f"not quiet within {experiment.patience:g} s")
    seen = await checking.gather(world, offering)
    counts = checking.count(offering, seen, allowed=experiment.allowed, dead=experiment.dead, healed=healed)
    counts.problems += problems
    await _clean(world, seen.dead)
    return Result(experiment, happened, counts, monotonic() - began)


async def run_all(
    experiments: Sequence[Experiment], directory: Path, *, report: Report, at_once: int
) -> AsyncIterator[Result]:
    """Run them on `at_once` systems at a time, as they end; each system serves experiments of one setting in turn."""
    waiting = list(experiments)
    served: Counter[Setting] = Counter()
    results: asyncio.Queue[Result] = asyncio.Queue()
    async with asyncio.TaskGroup() as group:
        for number in range(min(at_once, len(waiting))):
            place = directory / f"system-{number}"
            group.create_task(_work(waiting, served, place, results.put_nowait, report=report))
        for _ in experiments:
            yield await results.get()


async def _work(
    waiting: list[Experiment],
    served: Counter[Setting],
    directory: Path,
    tell: Callable[[Result], None],
    *,
    report: Report,
) -> None:
    """Take what waits, on one system for as long as its setting is asked for; after a failure on a new one."""
    while waiting:
        setting = min((experiment.setting for experiment in waiting), key=served.__getitem__)
        served[setting] += 1
        async with AsyncExitStack() as stack:
            world: World | None = None
            while (experiment := _next(waiting, setting)) is not None:
                began = monotonic()
                try:
                    if world is None:
                        world = await stack.enter_async_context(open_world(directory, report=report, setting=setting))
                    result = await run(world, experiment)
                except Exception as broken:  # the others are run all the same
                    traceback.print_exception(broken)
                    counts = Counts(problems=[f"{type(broken).__name__}: {broken}"])
                    result = Result(experiment, "broke off", counts, monotonic() - began)
                tell(result)
                if not result.counts.hold:
                    break
        served[setting] -= 1


def _next(waiting: list[Experiment], setting: Setting) -> Experiment | None:
    """The next one of `setting`, taken out."""
    for experiment in waiting:
        if experiment.setting == setting:
            waiting.remove(experiment)
            return experiment
    return None


async def _quiet(world: World, offering: Offering, *, within: float) -> bool:
    """Whether it becomes quiet in time and stays so for a while."""
    deadline = monotonic() + within
    since: float | None = None
    while monotonic() < deadline:
        try:
            async with asyncio.timeout(10):
                still = await checking.quiet(world, offering)
        except (TimeoutError, OSError, asyncpg.PostgresError, httpx.HTTPError):
            still = False
        since = (since or monotonic()) if still else None
        if since is not None and monotonic() - since > STILL:
            return True
        await asyncio.sleep(0.25)
    return False


async def _clean(world: World, dead: Iterable[str]) -> None:
    """Leave no dead letters to the next experiment."""
    for name in dead:
        await world.manage("DELETE", f"/api/queues/%2F/{name}/contents")
