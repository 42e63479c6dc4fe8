"""Schedulers are killed as hard as can be, in the middle of firing, and every timer still fires exactly once."""

from collections import Counter
from datetime import date
from itertools import cycle

import asyncpg
from scheduler.arming import learn
from scheduler.database_clock import DatabaseClock
from scheduler.testing import issued, told
from scheduler.timetable import Timetable
from spacehub import database as postgresql
from spacehub.testing.waiting import eventually

from .conftest import Start

TIMERS = 300
BLOCKED = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
WALLS = ("LOCK TABLE timers IN SHARE MODE", "LOCK TABLE outbox IN EXCLUSIVE MODE")
"""Where schedulers are held up to be killed: as one marks timers as fired, and as it writes their events."""
ARMED = "SELECT count(*) FROM timers WHERE state = 'armed'"


async def test_three_hundred_timers_fire_once_each_while_schedulers_are_killed(
    pool: "asyncpg.Pool[asyncpg.Record]", timers_url: str, start: Start
) -> None:
    bills = [told(issued(str(number), date(2026, 11, 1))) for number in range(TIMERS)]
    await learn(bills, timetable=Timetable(pool), clock=DatabaseClock(pool))
    published: Counter[str] = Counter()
    blocker = await postgresql.connect(timers_url)
    killed_in_mid_firing = 0

    async def publish() -> bool:
        """Take what was fired out of the outbox, as forwarders do, so that nothing there hides a second firing."""
        published.update(row[0] for row in await pool.fetch("DELETE FROM outbox RETURNING message_id"))
        return published.total() > before or published.total() == TIMERS

    for wall in cycle(WALLS):
        if published.total() == TIMERS:
            break
        before = published.total()
        schedulers = [start("fire", SCHEDULER_RELEASE_RATE="60") for _ in range(2)]
        await eventually(publish, within=60)
        async with blocker.transaction():
            await blocker.execute(wall)
            armed = await pool.fetchval(ARMED)
            if armed:
                await eventually(lambda: pool.fetchval(BLOCKED), within=60, because="no scheduler was about to fire")
                killed_in_mid_firing += 1
            for scheduler in schedulers:
                scheduler.kill()
                scheduler.wait()
    await blocker.close()

    last = start("fire", SCHEDULER_RELEASE_RATE="1000")
    fired_ids = set(published)
    await learn([told(issued("the last", date(2026, 11, 1)))], timetable=Timetable(pool), clock=DatabaseClock(pool))
    await eventually(lambda: pool.fetchval("SELECT count(*) FROM outbox"), within=60)
    await publish()
    last.kill()

    assert killed_in_mid_firing >= 2
    assert len(fired_ids) == TIMERS
    assert set(published.values()) == {1}
    assert published.total() == TIMERS + 1
    assert await pool.fetchval("SELECT count(*) FROM timers WHERE state = 'fired'") == TIMERS + 1
