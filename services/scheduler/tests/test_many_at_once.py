"""Several processes learn and fire at the same time, and it comes out as if they had taken turns."""

import asyncio
from datetime import date, timedelta
from random import Random
from uuid import UUID

import asyncpg
import pytest
from scheduler.arming import learn
from scheduler.firing import fire
from scheduler.testing import TENANT, Stage, cancelled, deleted, ended, issued, paid, signed, told
from scheduler.timetable import Timetable
from spacehub.events.envelope import Event

TIMERS = "SELECT subject, state, as_of, due_at, deadline, user_id, data FROM timers ORDER BY subject"


async def test_learning_at_the_same_time_ends_as_learning_in_turns(
    stage: Stage, pool: "asyncpg.Pool[asyncpg.Record]"
) -> None:
    random = Random(4)
    events = [random_fact(random, number, stage) for number in range(400)]
    await learn(events, timetable=Timetable(pool), clock=stage.clock)
    in_turns = await pool.fetch(TIMERS)
    await stage.execute("DELETE FROM timers; DELETE FROM learned_facts; DELETE FROM deleted_users")

    async def consumer(mine: list[Event]) -> None:
        while mine:
            batch = [mine.pop() for _ in range(min(len(mine), random.randint(1, 20)))]
            await learn(batch, timetable=Timetable(pool), clock=stage.clock)

    copies = random.sample(events * 3, k=len(events) * 3)
    await asyncio.gather(*(consumer(copies[start::6]) for start in range(6)))

    assert await pool.fetch(TIMERS) == in_turns
    assert {row["state"] for row in in_turns} == {"armed", "closed", "void"}


def random_fact(random: Random, number: int, stage: Stage) -> Event:
    """A fact about one of twenty bills, twenty contracts or three users; no two have the same time."""
    subject, user = str(random.randrange(20)), UUID(int=random.randrange(3))
    day = date(2027, 1, 1) + timedelta(days=random.randrange(365))
    issuing, signing = issued(subject, day, user=user), signed(subject, day, user=user)
    rare = [paid(subject), cancelled(subject), ended(subject), deleted(UUID(int=0))]
    fact = random.choice([issuing, signing] * 20 + rare)
    return told(fact, time=stage.clock.moment + timedelta(seconds=number))


async def test_meeting_on_the_same_new_subjects_in_opposite_order_locks_nobody_out(
    stage: Stage, pool: "asyncpg.Pool[asyncpg.Record]"
) -> None:
    for start in range(0, 4000, 200):
        bills = [str(number) for number in range(start, start + 200)]
        forth = [told(issued(bill, date(2027, 1, 1))) for bill in bills]
        back = [told(paid(bill)) for bill in reversed(bills)]

        await asyncio.gather(
            *(
                learn(events, timetable=Timetable(pool), clock=stage.clock)
                for events in (forth, back, forth[::-1], back[::-1])
            )
        )

    assert set((await stage.timers()).values()) == {"closed"}


async def test_schedulers_at_the_same_time_keep_to_one_rate_together(
    stage: Stage, pool: "asyncpg.Pool[asyncpg.Record]"
) -> None:
    await stage.learn(*(issued(str(number), date(2026, 11, 20)) for number in range(100)))
    counts = []

    for _ in range(5):
        stage.clock.moment += timedelta(seconds=1)
        rounds = [fire(timetable=Timetable(pool), clock=stage.clock, recurring=(), rate=10) for _ in range(6)]
        counts.append(sum(fired.counts.total() for fired in await asyncio.gather(*rounds)))

    assert counts == [10] * 5


@pytest.mark.parametrize("seed", range(5))
async def test_payment_that_meets_the_firing_of_its_bill_leaves_no_reminder(
    stage: Stage, pool: "asyncpg.Pool[asyncpg.Record]", seed: int
) -> None:
    random = Random(seed)
    bills = [str(number) for number in range(40)]
    await stage.learn(*(issued(bill, date(2026, 11, 20)) for bill in bills))
    payments = [told(paid(bill)) for bill in random.sample(bills, k=len(bills))]

    async def paying(mine: list[Event]) -> None:
        for start in range(0, len(mine), 5):
            await learn(mine[start : start + 5], timetable=Timetable(pool), clock=stage.clock)

    async def firing() -> None:
        for _ in range(10):
            stage.clock.moment += timedelta(seconds=1)
            await fire(timetable=Timetable(pool), clock=stage.clock, recurring=(), rate=7)

    await asyncio.gather(firing(), paying(payments[::2]), firing(), paying(payments[1::2]))

    assert await stage.outbox() == []
    assert set((await stage.timers()).values()) == {"closed"}


@pytest.mark.parametrize("seed", range(5))
async def test_deletion_that_meets_the_user_s_bills_leaves_nothing_armed(
    stage: Stage, pool: "asyncpg.Pool[asyncpg.Record]", seed: int
) -> None:
    random = Random(seed)
    events = [told(issued(str(number), date(2027, 1, 1))) for number in range(60)]
    events.insert(random.randrange(len(events)), told(deleted(TENANT)))

    async def consumer(mine: list[Event]) -> None:
        for event in mine:
            await learn([event], timetable=Timetable(pool), clock=stage.clock)

    await asyncio.gather(*(consumer(events[start::6]) for start in range(6)))

    assert set((await stage.timers()).values()) == {"void"}
    assert len(await stage.timers()) == 60
