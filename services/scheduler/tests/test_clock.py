"""The clock sleeps until something is due, is woken by what is due earlier, and outlives the loss of its database."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, date, datetime, timedelta
from functools import partial

import asyncpg
import pytest
from scheduler.arming import learn
from scheduler.clock import Alarm, Hearing, keeping_time
from scheduler.database_clock import DatabaseClock, hearing
from scheduler.firing import Fired, fire
from scheduler.testing import SettableClock, Stage, issued, told
from scheduler.timetable import Timetable
from spacehub import database as postgresql
from spacehub.errors import Away
from spacehub.testing.waiting import eventually

LONG = timedelta(hours=1)
LONG_AGO, FAR_AWAY = date(2020, 1, 1), date(2999, 1, 1)


@asynccontextmanager
async def deaf(_: Alarm) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Hears nothing of what is armed."""

    async def check() -> None: ...

    yield check


@contextmanager
def running(
    pool: "asyncpg.Pool[asyncpg.Record]", hearing: Hearing, *, poll: timedelta = LONG
) -> Iterator[list[datetime | None]]:
    """The clock on the database's own time; yields, round by round, until when it meant to sleep."""
    rounds: list[datetime | None] = []

    async def counted() -> Fired:
        fired = await fire(timetable=Timetable(pool), clock=DatabaseClock(pool), recurring=(), rate=1000)
        rounds.append(fired.next_at)
        return fired

    async def forget() -> int:
        return 0

    stopping = asyncio.Event()
    keep_time = keeping_time(fire=counted, forget=forget, clock=DatabaseClock(pool), hearing=hearing, poll=poll)
    task = asyncio.ensure_future(keep_time(stopping))
    try:
        yield rounds
    finally:
        task.cancel()


@pytest.fixture
def arm(pool: "asyncpg.Pool[asyncpg.Record]") -> Callable[[str, date], Awaitable[None]]:
    async def learn_bill(bill: str, due_date: date) -> None:
        await learn([told(issued(bill, due_date))], timetable=Timetable(pool), clock=DatabaseClock(pool))

    return learn_bill


@pytest.mark.parametrize("asleep_until", [None, FAR_AWAY], ids=["nothing armed", "something far away"])
async def test_earlier_timer_wakes_the_sleeping_clock(
    stage: Stage,
    pool: "asyncpg.Pool[asyncpg.Record]",
    timers_url: str,
    arm: Callable[[str, date], Awaitable[None]],
    asleep_until: date | None,
) -> None:
    if asleep_until is not None:
        await arm("later", asleep_until)

    with running(pool, partial(hearing, url=timers_url)) as rounds:
        await eventually(lambda: len(rounds) == 1)
        await arm("now", LONG_AGO)

        assert await eventually(stage.outbox, because="the clock was not woken")


async def test_later_timer_lets_the_clock_sleep(
    stage: Stage,
    pool: "asyncpg.Pool[asyncpg.Record]",
    timers_url: str,
    arm: Callable[[str, date], Awaitable[None]],
) -> None:
    await arm("far", date(2900, 1, 1))
    with running(pool, partial(hearing, url=timers_url)) as rounds:
        await eventually(lambda: len(rounds) == 1)
        for number in range(20):
            await arm(f"farther {number}", FAR_AWAY)
        await arm("now", LONG_AGO)
        await eventually(stage.outbox)

        assert len(rounds) == 2


async def test_lost_wake_up_costs_one_poll_at_most(
    stage: Stage, pool: "asyncpg.Pool[asyncpg.Record]", arm: Callable[[str, date], Awaitable[None]]
) -> None:
    with running(pool, deaf, poll=timedelta(milliseconds=50)) as rounds:
        await eventually(lambda: len(rounds) >= 2)
        await arm("now", LONG_AGO)

        assert await eventually(stage.outbox)


async def test_clock_hears_again_after_its_connection_was_cut(
    stage: Stage,
    pool: "asyncpg.Pool[asyncpg.Record]",
    timers_url: str,
    arm: Callable[[str, date], Awaitable[None]],
) -> None:
    with running(pool, partial(hearing, url=timers_url)) as rounds:
        await eventually(lambda: len(rounds) == 1)
        admin = await postgresql.connect(timers_url)
        await admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        await admin.close()
        await eventually(lambda: len(rounds) >= 2, because="the clock did not come back")
        await arm("now", LONG_AGO)

        assert await eventually(stage.outbox)


async def test_stopping_wakes_the_clock_and_ends_it() -> None:
    rounds = 0

    async def nothing() -> Fired:
        nonlocal rounds
        rounds += 1
        return Fired(Counter(), None)

    async def forget() -> int:
        return 0

    clock = SettableClock(datetime(2026, 11, 24, tzinfo=UTC))
    stopping = asyncio.Event()
    keep_time = keeping_time(fire=nothing, forget=forget, clock=clock, hearing=deaf, poll=LONG)
    task = asyncio.ensure_future(keep_time(stopping))
    await eventually(lambda: rounds)

    stopping.set()
    await task

    assert rounds == 1


async def test_ids_of_facts_are_forgotten_after_the_retention_slot_and_only_then() -> None:
    types = ["bill.overdue", "retention.due", "devices.prune_due"]
    left, forgotten = list(types), []

    async def one_after_the_other() -> Fired:
        if not left:
            raise Away("nothing more to fire")
        return Fired(Counter([left.pop(0)]), clock.moment)

    async def forget() -> int:
        forgotten.append(len(left))
        return 0

    clock = SettableClock(datetime(2026, 11, 24, tzinfo=UTC))
    keep_time = keeping_time(fire=one_after_the_other, forget=forget, clock=clock, hearing=deaf, poll=LONG)
    task = asyncio.ensure_future(keep_time(asyncio.Event()))
    await eventually(lambda: not left)
    task.cancel()

    assert forgotten == [1]


@pytest.mark.parametrize(
    ("asleep_until", "armed_for", "wakes"),
    [(None, 9, True), (5, 4, True), (5, 5, False), (5, 6, False)],
    ids=["not asleep yet", "earlier", "the same moment", "later"],
)
async def test_alarm_rings_for_what_is_earlier(asleep_until: int | None, armed_for: int, wakes: bool) -> None:
    alarm = Alarm()
    alarm.forget()
    if asleep_until is not None:
        alarm.sleep_until(datetime(2026, 11, 24, asleep_until, tzinfo=UTC))

    alarm.armed(datetime(2026, 11, 24, armed_for, tzinfo=UTC))

    assert await alarm.rings(within=0) is wakes


async def test_what_was_armed_while_the_clock_was_firing_still_rings() -> None:
    alarm = Alarm()
    alarm.forget()
    alarm.armed(datetime(2026, 11, 24, 9, tzinfo=UTC))

    alarm.sleep_until(datetime(2026, 11, 24, 5, tzinfo=UTC))

    assert await alarm.rings(within=0)
