"""A long task that rests in quiet hours: what was written before them and delayed waits in its queue until they end."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

import structlog
from prometheus_client import Gauge

from spacehub.quiet_hours import QuietHours, may_go
from spacehub.running import Task, happens

log = structlog.get_logger()

_RESTING = Gauge(
    "spacehub_resting_in_quiet_hours", "1 while nobody consumes the queue because it is night; 0 by day", ["queue"]
)


def by_day(
    task: Task,
    window: QuietHours | None,
    *,
    queue: str,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    look: float = 5.0,
) -> Task:
    """`task`, which consumes `queue`: ended in good order when `window` begins, started again when it ends.

    Looks every `look` seconds. That it rests is told by a metric, so that a queue without a consumer alarms only where
    nobody is there to say so.
    """
    if window is None:
        return task

    def quiet() -> bool:
        now = clock()
        return may_go(now, window) > now

    async def awake(stopping: asyncio.Event) -> None:
        """Run until the evening, the end of the process, or the end of the task itself."""
        evening = asyncio.Event()
        day = asyncio.ensure_future(task(evening))
        try:
            while not (day.done() or quiet() or stopping.is_set()):
                stop = asyncio.ensure_future(stopping.wait())
                await asyncio.wait({day, stop}, timeout=look, return_when=asyncio.FIRST_COMPLETED)
                stop.cancel()
            evening.set()
            await day
        finally:
            day.cancel()
            await asyncio.gather(day, return_exceptions=True)

    async def run(stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            resting = quiet()
            _RESTING.labels(queue).set(resting)
            if resting:
                await happens(stopping, within=look)
                continue
            await awake(stopping)
            if not (quiet() or stopping.is_set()):
                return  # it ended by itself: whoever supervises decides
            log.info("resting_in_quiet_hours")

    return run
