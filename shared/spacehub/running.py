"""A process of ours: long tasks under supervision, and an orderly end on SIGTERM or SIGINT."""

import asyncio
import gc
import signal
from collections.abc import Awaitable, Callable, Mapping

import structlog
from prometheus_client import Counter, Gauge

from spacehub.tracing import spans

log = structlog.get_logger()

DRAIN = 20.0
"""Seconds that work in hand has to finish once the process was asked to stop."""

COLLECT = (20_000, 50, 100)
"""How much garbage makes Python look for cycles. Its own 700 new objects are a few messages' worth: with hundreds in
hand a sixth of a sender's CPU went into looking at what was still needed."""

_RESTARTS = Counter("spacehub_task_restarts", "Long tasks that ended unasked and were started again", ["task"])
_RUNNING = Gauge("spacehub_task_running", "1 while the long task runs", ["task"])

Task = Callable[[asyncio.Event], Awaitable[None]]
"""A long task: runs until the event is set, then ends in good order."""


async def run(tasks: Mapping[str, Task], *, drain: float = DRAIN) -> None:
    """Run `tasks` until SIGTERM or SIGINT, starting again each that ends by itself; then let them finish.

    What has not finished `drain` seconds after the signal is cancelled.
    """
    collect_less_often()
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    running = [asyncio.create_task(supervise(name, task, stopping), name=name) for name, task in tasks.items()]
    await stopping.wait()
    log.info("stopping")
    _, late = await asyncio.wait(running, timeout=drain)
    for task in late:
        log.warning("drain_too_long", task=task.get_name())
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    if spans.are_recorded():
        await asyncio.to_thread(spans.finish)
    log.info("stopped")


def collect_less_often() -> None:
    """Leave out what was imported when looking for garbage, and look less often; for a process that handles many."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT)


async def supervise(name: str, task: Task, stopping: asyncio.Event) -> None:
    """Run `task` until `stopping`; whenever it ends before that, however it ends, say so and start it again.

    A CancelledError that nobody asked for (a stalled broker makes the AMQP client raise one) is an end like another.
    """
    backoff = Backoff()
    while not stopping.is_set():
        _RUNNING.labels(name).set(1)
        try:
            await task(stopping)
            if stopping.is_set():
                return
            log.error("task_ended", task=name)
        except asyncio.CancelledError:
            if being_cancelled():
                raise
            log.exception("task_cancelled", task=name)
        except Exception:
            log.exception("task_failed", task=name)
        finally:
            _RUNNING.labels(name).set(0)
        _RESTARTS.labels(name).inc()
        await backoff.wait(stopping)


def being_cancelled() -> bool:
    """Whether the current task itself is asked to end, as against a stray CancelledError from a library."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class Backoff:
    """Waits that double from `first` to `longest` seconds."""

    def __init__(self, *, first: float = 0.1, longest: float = 5.0) -> None:
        self._first = first
        self._longest = longest
        self._next = first

    def reset(self) -> None:
        """Start from the first wait again: what was tried has worked."""
        self._next = self._first

    async def wait(self, stopping: asyncio.Event) -> None:
        """Wait the next while, or less if `stopping` is set meanwhile."""
        delay, self._next = self._next, min(self._next * 2, self._longest)
        await happens(stopping, within=delay)


async def happens(event: asyncio.Event, *, within: float) -> bool:
    """Whether `event` is set within so many seconds."""
    try:
        async with asyncio.timeout(within):
            await event.wait()
    except TimeoutError:
        return False
    return True
