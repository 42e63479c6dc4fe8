"""The clock: has what is due fired, sleeps until more is, and wakes when something is armed for earlier."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta

import structlog
from prometheus_client import Counter, Gauge
from spacehub.errors import Away
from spacehub.events.facts import RetentionDue
from spacehub.running import Backoff, Task, happens

from scheduler.due_times import Clock
from scheduler.firing import Fired

log = structlog.get_logger()

SHORTEST = 0.05
"""Seconds: what another transaction holds for a moment is not asked for in a tight loop."""

_FIRED = Counter("spacehub_scheduler_fired", "Events fired, by short type", ["type"])
_WAKES = Counter("spacehub_scheduler_wakes", "Rounds of the clock")
_SLEEP = Gauge("spacehub_scheduler_sleep_seconds", "How long the clock lay down to sleep; below 0 it is late")
_ROUND = Gauge("spacehub_scheduler_last_round_timestamp_seconds", "When the clock last went its round")

Check = Callable[[], Awaitable[None]]
Hearing = Callable[["Alarm"], AbstractAsyncContextManager[Check]]
"""Opens a connection that tells an alarm what is armed; the check inside raises Away when it is lost."""


class Alarm:
    """Wakes a sleeper, but only for what is due before the moment it sleeps until anyway."""

    def __init__(self) -> None:
        self._until: datetime | None = None
        self._rung = asyncio.Event()

    def forget(self) -> None:
        """From now on, whatever is armed rings."""
        self._until = None
        self._rung.clear()

    def sleep_until(self, moment: datetime) -> None:
        """From now on, only what is armed for before `moment` rings. What rang since `forget` still does."""
        self._until = moment

    def armed(self, due_at: datetime) -> None:
        """Something was armed for `due_at`."""
        if self._until is None or due_at < self._until:
            self._rung.set()

    def ring(self) -> None:
        """Wake the sleeper."""
        self._rung.set()

    async def rings(self, *, within: float) -> bool:
        """Whether it rings within so many seconds."""
        return await happens(self._rung, within=within)


def keeping_time(
    *,
    fire: Callable[[], Awaitable[Fired]],
    forget: Callable[[], Awaitable[int]],
    clock: Clock,
    hearing: Hearing,
    poll: timedelta,
) -> Task:
    """A long task that calls `fire` whenever something may be due, and looks every `poll` in case a word was lost.

    `forget` is called after each slot of `retention.due` that was fired here.
    """

    async def keep_time(stopping: asyncio.Event) -> None:
        backoff = Backoff()
        alarm = Alarm()
        stopped = asyncio.create_task(stopping.wait())
        stopped.add_done_callback(lambda _: alarm.ring())
        try:
            while not stopping.is_set():
                try:
                    async with hearing(alarm) as check:
                        while not stopping.is_set():
                            await _round(alarm, check)
                            backoff.reset()
                except Away as away:
                    log.warning("clock_paused", reason=str(away))
                    await backoff.wait(stopping)
        finally:
            stopped.cancel()

    async def _round(alarm: Alarm, check: Check) -> None:
        alarm.forget()
        await check()
        fired = await fire()
        _WAKES.inc()
        for purpose, count in fired.counts.items():
            _FIRED.labels(purpose).inc(count)
        if fired.counts:
            log.info("fired", **fired.counts)
        if fired.counts[RetentionDue.type]:
            log.info("facts_forgotten", count=await forget())
        longest = poll.total_seconds()
        if fired.next_at is not None:
            alarm.sleep_until(fired.next_at)
            longest = min(longest, (fired.next_at - await clock.now()).total_seconds())
        _SLEEP.set(longest)
        _ROUND.set_to_current_time()
        await alarm.rings(within=max(longest, SHORTEST))

    return keep_time
