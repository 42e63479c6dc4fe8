"""A million armed timers: what they cost while nothing is due, and how long a batch of due ones takes to fire."""

import asyncio
from datetime import timedelta

import asyncpg
from scheduler.app import MIGRATIONS
from scheduler.database_clock import DatabaseClock
from scheduler.firing import MOST, fire_timers
from scheduler.timetable import Timetable
from spacehub import database, migrating

from bench.ground import Ground
from bench.measuring import Findings, Goal, Meter, Sample, Way, in_turns, middle, ratio, spread

MANY, FEW = 1_000_000, 10_000
IDLE = 10.0
"""Seconds of looking on while nothing is due."""
UNMETERED = 1e9
"""A rate at which the gate never keeps a batch waiting."""

_ARM = """
INSERT INTO timers (subject, purpose, state, as_of, due_at, deadline, user_id, data)
SELECT 'bill:A1201-' || number, 'bill.overdue', 'armed', now(), now() + interval '1 day' + number * interval '1 second',
       current_date + 1, user_id,
       jsonb_build_object('bill_id', 'A1201-' || number, 'owner_id', gen_random_uuid(), 'amount', 1250000,
         'due_date', current_date, 'recipient', jsonb_build_object('user_id', user_id, 'phone', '99112233'))
FROM (SELECT number, gen_random_uuid() AS user_id FROM generate_series(1, $1::integer) AS number) AS armed"""
_DUE = """
UPDATE timers SET due_at = now() - interval '1 second' WHERE (subject, purpose) IN (
  SELECT subject, purpose FROM timers WHERE state = 'armed' ORDER BY due_at DESC LIMIT $1)"""


async def measure(ground: Ground) -> Findings:
    """The same with ten thousand, side by side: the cost should not follow the number that is armed."""
    async with (
        ground.database(lambda url: migrating.upgrade(MIGRATIONS, url)) as many,
        ground.database(lambda url: migrating.upgrade(MIGRATIONS, url)) as few,
    ):
        ways: dict[str, Way] = {}
        idle: list[str] = []
        for url, total in ((few, FEW), (many, MANY)):
            await _arm(url, total)
            name = f"{total:,} armed"
            ways[name] = _firing(url)
            idle.append(await _idling(ground, url))
        await asyncio.gather(*(way() for way in ways.values()))
        samples = await in_turns(ways, rounds=5)
    small, large = samples.values()
    return Findings(
        goals=[
            Goal("time to fire a batch, a million armed / ten thousand", 1 / ratio(large, small)),
        ],
        head=["timers", f"ms to fire {MOST}", "timers/s", "CPU of `scheduler fire` while nothing is due"],
        rows=[
            [name, f"{middle(found, lambda one: one.seconds) * 1e3:,.0f}", spread(found), cost]
            for (name, found), cost in zip(samples.items(), idle, strict=True)
        ],
        notes=[
            "In production the gate meters the releases (`SCHEDULER_RELEASE_RATE`); here it is as good as open. A batch"
            " is one transaction: claim, outbox rows, new states, fsync."
        ],
    )


def _firing(url: str) -> Way:
    async def way() -> Sample:
        async with database.pooled(url, size=2) as pool:
            await pool.execute(_DUE, MOST)
            now = await DatabaseClock(pool).now()
            meter = Meter()
            fired, _ = await fire_timers(now + timedelta(seconds=1), timetable=Timetable(pool), rate=UNMETERED)
            sample = meter.read(fired.total())
            assert sample.count == MOST
            return sample

    return way


async def _idling(ground: Ground, url: str) -> str:
    """The share of a core that the clock takes while it sleeps."""
    async with ground.ours(
        "scheduler fire", {"DATABASE_URL": url, "AMQP_URL": "amqp://nobody:nothing@127.0.0.1:1/"}
    ) as pid:
        meter = Meter([pid])
        await asyncio.sleep(IDLE)
        sample = meter.read(1)
    return f"{sample.cpu / sample.seconds:.1%} of a core, {sample.mib:.0f} MiB"


async def _arm(url: str, total: int) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(_ARM, total)
    await connection.execute("VACUUM ANALYZE timers")
    await connection.close()
