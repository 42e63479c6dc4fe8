"""Sweeping: what nobody else would ever bring to its end gets it, and what is too old is forgotten."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from time import monotonic
from typing import Protocol

import structlog
from spacehub.errors import Away
from spacehub.running import Task, happens

log = structlog.get_logger()

BATCH = 200
EVERY = 15.0
"""Seconds between looks for what was left over."""

DAY = 86_400.0
"""Seconds between looks for what is too old."""


class Leftovers(Protocol):
    """What was left over; each call does up to `most` and says how many it did. Raises Away."""

    async def end_lost(self, *, most: int) -> int: ...
    async def end_expired(self, *, most: int) -> int: ...
    async def erase_people(self, *, most: int) -> int: ...
    async def forget(self, *, older_than: timedelta, most: int) -> int: ...


async def sweep(*, leftovers: Leftovers) -> None:
    """End what has lost its attempt, or its request and its time."""
    await _all("ended_lost", leftovers.end_lost)
    await _all("ended_expired", leftovers.end_expired)


async def tidy(*, leftovers: Leftovers, kept: timedelta) -> None:
    """Erase deleted users from what has ended since, and forget what is older than `kept`."""
    await _all("erased_people", leftovers.erase_people)
    await _all("forgotten", partial(leftovers.forget, older_than=kept))


def sweeping(
    *, leftovers: Leftovers, kept: timedelta, every: float = EVERY, clock: Callable[[], float] = monotonic
) -> Task:
    """A long task that sweeps `every` so many seconds and tidies up once a day; any number of them may run."""

    async def run(stopping: asyncio.Event) -> None:
        tidied: float | None = None
        while not stopping.is_set():
            try:
                await sweep(leftovers=leftovers)
                if tidied is None or clock() - tidied >= DAY:
                    await tidy(leftovers=leftovers, kept=kept)
                    tidied = clock()
            except Away as away:
                log.warning("not_swept", reason=str(away))
            await happens(stopping, within=every)

    return run


async def _all(deed: str, do: Callable[..., Awaitable[int]]) -> None:
    total = 0
    while done := await do(most=BATCH):
        total += done
    if total:
        log.info(deed, count=total)
