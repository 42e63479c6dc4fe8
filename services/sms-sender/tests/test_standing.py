"""What the carrier says of the account holds for every sender process, whichever of them was told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import TYPE_CHECKING

import httpx
import pytest
from sms_sender.fates import CredentialsRefused, GatewayUnavailable, RateLimited
from sms_sender.standing import Standing
from sms_sender.testing.carrier import FakeGateway
from sms_sender.testing.requests import bill
from spacehub.breaker import State
from spacehub.testing.waiting import eventually

if TYPE_CHECKING:
    import asyncpg
    from tests.conftest import House

    Pool = asyncpg.Pool[asyncpg.Record]

TOLD = RateLimited("status_429", retry_in=timedelta(minutes=20))


class Processes:
    """Two senders: one for bills, one for codes, each with its own share in the account's standing."""

    def __init__(self, database_url: str, pool: Pool) -> None:
        self.bills, self.codes = Standing(database_url=database_url), Standing(database_url=database_url)
        self.standard = self.bills.add("standard", FakeGateway(), places=50)
        self.critical = self.codes.add("critical", FakeGateway(), places=50)
        self._pool = pool

    async def in_touch(self) -> set[int]:
        """The two connections on which they hear each other, once both are there."""

        async def both() -> set[int]:
            found = await listening(self._pool)
            return found if len(found) == 2 else set()

        return await eventually(both, because="both should listen")

    async def lose_touch(self) -> None:
        """Those connections are cut, and made again."""
        before = await self.in_touch()
        await self._pool.executemany("SELECT pg_terminate_backend($1)", [(pid,) for pid in before])
        await eventually(lambda: _gone(self._pool, before))
        await self.in_touch()


async def listening(pool: Pool) -> set[int]:
    """The connections of this database that have last asked whether they are still there."""
    query = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query = 'SELECT 1'"
    return {row["pid"] for row in await pool.fetch(query)}


async def _gone(pool: Pool, pids: set[int]) -> bool:
    return not pids & await listening(pool)


@pytest.fixture
async def processes(database_url: str, pool: Pool) -> AsyncIterator[Processes]:
    both = Processes(database_url, pool)
    stopping = asyncio.Event()
    keeping = [asyncio.create_task(standing.keep(stopping)) for standing in (both.bills, both.codes)]
    await both.in_touch()
    yield both
    stopping.set()
    async with asyncio.timeout(10):
        await asyncio.gather(*keeping)


async def test_429_for_a_bill_rests_the_codes_of_another_process_for_half_a_minute_at_most(
    processes: Processes,
) -> None:
    processes.bills.refused(TOLD)

    await eventually(lambda: processes.critical.breaker.state is State.RESTING)
    assert timedelta(seconds=20) < processes.critical.breaker.rest_left <= timedelta(seconds=30)
    assert processes.standard.breaker.rest_left > timedelta(minutes=19)


async def test_refused_password_rests_every_process(processes: Processes) -> None:
    processes.codes.refused(CredentialsRefused("credentials"))

    await eventually(lambda: processes.standard.breaker.state is State.RESTING)
    assert processes.standard.breaker.reason == "credentials"


async def test_many_refusals_at_once_are_one_rest(processes: Processes) -> None:
    for _ in range(20):
        processes.bills.refused(TOLD)
    await eventually(lambda: processes.critical.breaker.state is State.RESTING)

    assert (processes.standard.breaker.rests_begun, processes.critical.breaker.rests_begun) == (1, 1)


async def test_outage_of_one_lane_is_no_news_of_the_account(processes: Processes) -> None:
    for _ in range(5):
        processes.standard.breaker.failed(GatewayUnavailable("status_503").reason)
    processes.codes.refused(TOLD)  # a later word, to know that an earlier one would have come
    await eventually(lambda: processes.critical.breaker.state is State.RESTING)

    assert processes.standard.breaker.reason == "status_503"
    assert processes.critical.breaker.rests_begun == 1


async def test_processes_hear_each_other_again_after_their_connections_were_lost(processes: Processes) -> None:
    await processes.lose_touch()

    processes.bills.refused(TOLD)

    await eventually(lambda: processes.critical.breaker.state is State.RESTING)


async def test_sender_of_codes_rests_when_the_sender_of_bills_is_told_429(house: House) -> None:
    await house.behave("429", retry_after=25, count=1)
    house.start("consume", "critical")
    pages = f"http://127.0.0.1:{house.ports[-1]}"
    async with httpx.AsyncClient(trust_env=False) as http:

        async def codes_rest() -> bool:
            try:
                return 'spacehub_resting{what="critical"} 1.0' in (await http.get(f"{pages}/metrics")).text
            except httpx.HTTPError:
                return False

        await eventually(lambda: listening(house.pool))
        house.start("consume", "standard")
        await house.ask(bill())

        await eventually(codes_rest)
