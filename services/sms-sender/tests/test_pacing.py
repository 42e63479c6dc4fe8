"""The pace of the gateway: kept by all senders together, with room for critical texts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import asyncpg
import pytest
from sms_sender.pacing import Pace
from spacehub import database

if TYPE_CHECKING:
    from spacehub.outbox import Lane

    Pool = asyncpg.Pool[asyncpg.Record]

SECOND = timedelta(seconds=1)
RATE = 40.0


@pytest.fixture
async def pools(database_url: str) -> AsyncIterator[list[Pool]]:
    """The pools of three processes."""
    pools = [await database.open_pool(database_url, size=2) for _ in range(3)]
    yield pools
    for pool in pools:
        await pool.close()


async def moment(pace: Pace, lane: Lane) -> datetime:
    """The moment for which a caller of `lane` gets its permit, by the database's clock."""
    permit = await pace.ask(lane)
    await asyncio.sleep(permit.wait.total_seconds())
    return permit.at if permit.given else await moment(pace, lane)


async def moments(pools: list[Pool], **asked: int) -> dict[str, list[datetime]]:
    """So many permits of each lane, asked for in all processes at the same time."""
    paces = [Pace(pool, rate=RATE) for pool in pools]
    lanes: tuple[Lane, ...] = ("critical", "standard")
    callers = [(lane, moment(pace, lane)) for lane in lanes for pace in paces for _ in range(asked.get(lane, 0))]
    found = await asyncio.gather(*(caller for _, caller in callers))
    return {lane: sorted(at for (of, _), at in zip(callers, found, strict=True) if of == lane) for lane in lanes}


def most_in_a_second(given: list[datetime]) -> int:
    given = sorted(given)
    return max(sum(start <= at < start + SECOND for at in given) for start in given)


@pytest.mark.parametrize(
    "asked",
    [{"critical": 30}, {"standard": 20}, {"critical": 12, "standard": 12}],
    ids=["critical", "standard", "both"],
)
async def test_three_senders_together_never_exceed_the_limit(pools: list[Pool], asked: dict[str, int]) -> None:
    given = await moments(pools, **asked)

    together = given["critical"] + given["standard"]
    assert len(together) == len(set(together)) == 3 * sum(asked.values())
    assert most_in_a_second(together) <= RATE


async def test_the_standard_lane_leaves_a_fifth_alone(pools: list[Pool]) -> None:
    given = await moments(pools, standard=25)

    assert most_in_a_second(given["standard"]) <= RATE * 0.8


async def test_critical_texts_find_room_at_once_in_a_flood_of_bills(pools: list[Pool]) -> None:
    flood = [asyncio.ensure_future(moments([pool], standard=60)) for pool in pools]
    critical, waits = Pace(pools[0], rate=RATE), []
    for _ in range(20):
        permit = await critical.ask("critical")
        waits.append(permit.wait)
        await asyncio.sleep(permit.wait.total_seconds() + 5 / RATE)  # a fifth of the limit
    for task in flood:
        task.cancel()
    await asyncio.gather(*flood, return_exceptions=True)

    assert any(waits)
    assert max(waits) <= SECOND / 10


async def test_what_nobody_used_is_not_saved_up(pools: list[Pool], pool: Pool) -> None:
    start: datetime = await pool.fetchval(
        "UPDATE gateway_pace SET (total, standard) = (now() - interval '1 h', now() - interval '1 h') RETURNING now()"
    )

    given = await moments(pools, critical=5, standard=5)

    assert min(given["critical"] + given["standard"]) >= start
    assert most_in_a_second(given["critical"] + given["standard"]) <= RATE


async def test_a_permit_is_waited_for_by_the_clock_of_the_database(pools: list[Pool], pool: Pool) -> None:
    await pool.execute("UPDATE gateway_pace SET total = clock_timestamp() + interval '1 minute'")
    pace = Pace(pools[0], rate=RATE)

    critical, standard = await asyncio.gather(pace.ask("critical"), pace.ask("standard"))

    assert (critical.given, standard.given) == (True, False)
    assert all(
        timedelta(seconds=50) < permit.wait <= timedelta(minutes=1, seconds=1) for permit in (critical, standard)
    )
