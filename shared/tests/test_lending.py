"""Lent connections: used again while all goes well, never while two want them, and closed after whatever went wrong."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import asyncpg
import pytest
from spacehub import database
from spacehub.lending import LONGEST_IDLE, Connections, lending
from spacehub.testing.clock import Clock
from spacehub.testing.waiting import eventually

PID = "SELECT pg_backend_pid()"
ASLEEP = "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)' AND state = 'active'"
OURS = "SELECT count(*) FROM pg_stat_activity WHERE pid = ANY($1::integer[])"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def two(outbox_url: str, clock: Clock) -> AsyncIterator[Connections]:
    connections = Connections(outbox_url, size=2, clock=clock)
    yield connections
    await connections.close()


@pytest.fixture
async def watcher(outbox_url: str) -> "AsyncIterator[asyncpg.Connection[asyncpg.Record]]":
    connection = await database.connect(outbox_url)
    yield connection
    await connection.close()


async def used(connections: Connections) -> int:
    """Which backend answers now."""
    async with database.reading(connections) as connection:
        return int(await connection.fetchval(PID))


async def sleeps(connections: Connections) -> None:
    async with database.reading(connections) as connection:
        await connection.execute("SELECT pg_sleep(60)")


async def test_one_connection_serves_one_call_after_the_other(two: Connections) -> None:
    assert len({await used(two) for _ in range(5)}) == 1


async def test_two_calls_at_a_time_have_a_connection_each_and_a_third_one_waits(two: Connections) -> None:
    async with two.acquire(timeout=5) as one, two.acquire(timeout=5) as other:
        third = asyncio.ensure_future(used(two))
        pids = {await one.fetchval(PID), await other.fetchval(PID)}
        waits = not third.done()

    assert waits
    assert len(pids) == 2
    assert await third in pids


async def test_who_waits_too_long_is_told_so_and_takes_nobodys_place(two: Connections) -> None:
    async with two.acquire(timeout=5), two.acquire(timeout=5):
        with pytest.raises(TimeoutError):
            await two.acquire(timeout=0.01).__aenter__()

    assert await asyncio.gather(used(two), used(two))


async def test_a_connection_is_not_used_again_after_a_fault(two: Connections) -> None:
    async def divides() -> None:
        async with database.transaction(two) as connection:
            await connection.execute("SELECT 1 / 0")

    before = await used(two)
    with pytest.raises(asyncpg.DivisionByZeroError):
        await divides()

    assert await used(two) != before


async def test_no_call_meets_a_connection_that_the_server_has_ended(
    two: Connections, watcher: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    async with two.acquire(timeout=5) as connection:
        await watcher.execute("SELECT pg_terminate_backend($1)", await connection.fetchval(PID))
        await eventually(connection.is_closed)

    assert await used(two)


async def test_what_a_caller_no_longer_waits_for_is_stopped_on_the_server(
    two: Connections, watcher: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    leaves = asyncio.ensure_future(sleeps(two))
    await eventually(lambda: watcher.fetchval(ASLEEP))

    leaves.cancel()
    with suppress(asyncio.CancelledError):
        await leaves

    assert await eventually(lambda: watcher.fetchval(f"SELECT ({ASLEEP}) = 0"))
    assert await asyncio.gather(used(two), used(two))


async def test_places_are_kept_however_often_connecting_fails(outbox_url: str) -> None:
    urls = [f"{outbox_url}-nowhere"]
    connections = Connections(lambda: urls[0], size=2)
    for _ in range(5):
        assert not await database.answers(connections)

    urls[0] = outbox_url

    assert await asyncio.gather(used(connections), used(connections))
    await connections.close()


async def test_a_connection_that_lay_too_long_is_replaced_by_a_new_one(two: Connections, clock: Clock) -> None:
    before = await used(two)
    clock.now += LONGEST_IDLE - 1
    while_fresh = await used(two)
    clock.now += LONGEST_IDLE

    assert while_fresh == before
    assert await used(two) != before


async def test_none_is_open_at_the_end(outbox_url: str, watcher: "asyncpg.Connection[asyncpg.Record]") -> None:
    async with lending(outbox_url, size=3) as connections:
        async with connections.acquire(timeout=5) as one, connections.acquire(timeout=5) as other:
            pids = [await one.fetchval(PID), await other.fetchval(PID)]
        both = await watcher.fetchval(OURS, pids)

    assert both == 2
    assert await eventually(lambda: watcher.fetchval(f"SELECT ({OURS}) = 0", pids))
