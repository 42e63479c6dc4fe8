"""What only the ledger in PostgreSQL can show: many processes, batches, lost replies, outages, and what is kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast
from uuid import uuid4

import asyncpg
import pytest
from pydantic import SecretStr
from sms_sender import outcomes
from sms_sender.attempts import Attempt
from sms_sender.ledger import Ledger
from sms_sender.outcomes import Outcome
from sms_sender.testing.requests import bill, otp
from spacehub import database
from spacehub.errors import Away, NotNow
from spacehub.testing.waiting import eventually

KEY = SecretStr("a key for tests")
TOOK = timedelta(milliseconds=120)
SENT = outcomes.sent("m-1")

if TYPE_CHECKING:
    Pool = asyncpg.Pool[asyncpg.Record]


class Unsteady:
    """A pool that breaks on demand: each use takes the next of `breaks`, `before` or `after` its effect, or `not`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self.breaks: list[str] = []

    @asynccontextmanager
    async def acquire(self, **options: Any) -> AsyncIterator[Any]:
        breaks = self.breaks.pop(0) if self.breaks else "not"
        if breaks == "before":
            raise ConnectionResetError
        async with self._pool.acquire(**options) as connection:
            yield connection
        if breaks == "after":
            raise ConnectionResetError


@pytest.fixture
def unsteady(pool: Pool) -> Unsteady:
    return Unsteady(pool)


@pytest.fixture
def shaken(unsteady: Unsteady) -> Ledger:
    """A ledger on an unsteady pool."""
    return Ledger(cast("Pool", unsteady), phone_key=KEY)


async def claimed(ledger: Ledger, sms: Any) -> Attempt:
    attempt = await ledger.claim(sms, segments=1)
    assert attempt is not None
    return attempt


async def test_twenty_processes_start_one_attempt(database_url: str) -> None:
    pools = [await database.open_pool(database_url, size=2) for _ in range(20)]
    sms = bill()

    answers = await asyncio.gather(
        *(Ledger(pool, phone_key=KEY).claim(sms, segments=1) for pool in pools), return_exceptions=True
    )

    assert sum(isinstance(answer, Attempt) for answer in answers) == 1
    assert sum(isinstance(answer, NotNow) for answer in answers) == 19
    for pool in pools:
        await pool.close()


async def test_one_lost_lease_is_taken_over_by_one_of_twenty(ledger: Ledger, pool: Pool) -> None:
    sms = otp()
    await claimed(ledger, sms)
    await pool.execute("UPDATE sms SET lease_until = clock_timestamp() - interval '1 second'")

    answers = await asyncio.gather(
        *(Ledger(pool, phone_key=KEY).claim(sms, segments=1) for _ in range(20)), return_exceptions=True
    )

    assert [answer.number for answer in answers if isinstance(answer, Attempt)] == [2]


async def test_hundreds_of_sms_travel_through_claim_and_outcome(ledger: Ledger, pool: Pool) -> None:
    requests = [bill() for _ in range(300)]

    attempts = await asyncio.gather(*(ledger.claim(sms, segments=1) for sms in requests))
    await asyncio.gather(*(ledger.record(attempt, SENT, took=TOOK) for attempt in attempts if attempt is not None))

    assert [attempt and attempt.sms_id for attempt in attempts] == [sms.sms_id for sms in requests]
    assert await pool.fetchval("SELECT count(*) FROM sms WHERE status = 'sent'") == 300
    assert await pool.fetchval("SELECT count(DISTINCT message_id) FROM outbox") == 300


async def test_copies_in_one_batch_start_one_attempt_each(ledger: Ledger) -> None:
    requests = [bill() for _ in range(5)]

    answers = await asyncio.gather(*(ledger.claim(sms, segments=1) for sms in requests * 4), return_exceptions=True)

    assert len({answer.sms_id for answer in answers if isinstance(answer, Attempt)}) == 5
    assert sum(isinstance(answer, NotNow) for answer in answers) == 15


async def test_batches_that_share_sms_in_another_order_do_not_block_each_other(pool: Pool) -> None:
    first, second = Ledger(pool, phone_key=KEY), Ledger(pool, phone_key=KEY)
    requests = [bill() for _ in range(200)]

    answers = await asyncio.gather(
        *(first.claim(sms, segments=1) for sms in requests),
        *(second.claim(sms, segments=1) for sms in reversed(requests)),
        return_exceptions=True,
    )

    assert sum(isinstance(answer, Attempt) for answer in answers) == 200
    assert sum(isinstance(answer, NotNow) for answer in answers) == 200


async def test_the_lease_ends_by_the_clock_of_the_database(pool: Pool) -> None:
    sms = bill()
    await claimed(Ledger(pool, phone_key=KEY, lease=timedelta()), sms)

    assert await Ledger(pool, phone_key=KEY).claim(sms, segments=1) is None
    assert await pool.fetchval("SELECT status FROM sms") == "unknown"


async def test_a_claim_whose_reply_was_lost_goes_on_as_the_same_attempt(
    unsteady: Unsteady, shaken: Ledger, pool: Pool
) -> None:
    sms = bill()
    unsteady.breaks = ["after"]
    with pytest.raises(Away):
        await shaken.claim(sms, segments=1)
    await pool.execute("UPDATE sms SET lease_until = clock_timestamp() - interval '1 hour'")

    attempt = await claimed(shaken, sms)
    await shaken.record(attempt, SENT, took=TOOK)

    assert attempt.number == 1
    assert await pool.fetchval("SELECT (status, attempts) FROM sms") == ("sent", 1)


async def test_a_claim_whose_reply_was_lost_goes_to_one_of_the_copies(unsteady: Unsteady, shaken: Ledger) -> None:
    sms = bill()
    unsteady.breaks = ["after"]
    lost = await asyncio.gather(*(shaken.claim(sms, segments=1) for _ in range(5)), return_exceptions=True)

    answers = await asyncio.gather(*(shaken.claim(sms, segments=1) for _ in range(5)), return_exceptions=True)

    assert all(isinstance(answer, Away) for answer in lost)
    assert [answer.number for answer in answers if isinstance(answer, Attempt)] == [1]
    assert sum(isinstance(answer, NotNow) for answer in answers) == 4


async def test_a_takeover_whose_reply_was_lost_goes_on_as_the_same_attempt(
    unsteady: Unsteady, shaken: Ledger, pool: Pool
) -> None:
    sms = bill()
    await shaken.release(await claimed(shaken, sms), "status_503", took=TOOK)
    unsteady.breaks = ["not", "after"]  # the claim of a new SMS, then the one behind the lock
    with pytest.raises(Away):
        await shaken.claim(sms, segments=1)

    attempt = await claimed(shaken, sms)

    assert attempt.number == 2
    assert await pool.fetchval("SELECT attempts FROM sms") == 2


@pytest.mark.parametrize("breaks", [["before"] * 3, ["after"], ["before", "after", "before"]], ids=str)
async def test_an_outcome_outlives_an_outage_of_the_database(
    unsteady: Unsteady, shaken: Ledger, pool: Pool, breaks: list[str]
) -> None:
    sms = bill()
    attempt = await claimed(shaken, sms)

    unsteady.breaks = list(breaks)
    await shaken.record(attempt, SENT, took=TOOK)

    assert unsteady.breaks == []
    assert await pool.fetchval("SELECT (status, jsonb_array_length(attempt_log)) FROM sms") == ("sent", 1)
    assert await pool.fetchval("SELECT count(*) FROM outbox") == 1


async def test_an_outcome_waits_while_the_row_is_locked_by_somebody_else(ledger: Ledger, pool: Pool) -> None:
    sms = bill()
    attempt = await claimed(ledger, sms)

    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("SELECT FROM sms FOR UPDATE")
        recording = asyncio.create_task(ledger.record(attempt, SENT, took=TOOK))
        await eventually(lambda: _waits_for_a_lock(pool))

    await recording
    assert await pool.fetchval("SELECT status FROM sms") == "sent"


async def test_a_takeover_judges_the_lease_after_the_wait_for_the_lock(ledger: Ledger, pool: Pool) -> None:
    sms = bill()
    await claimed(ledger, sms)

    await pool.execute("UPDATE sms SET lease_until = clock_timestamp() + interval '1 second'")
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("SELECT FROM sms FOR UPDATE")
        claiming = asyncio.create_task(ledger.claim(sms, segments=1))
        await eventually(lambda: _waits_for_a_lock(pool))
        await eventually(lambda: connection.fetchval("SELECT lease_until < clock_timestamp() FROM sms"))

    assert await claiming is None
    assert await pool.fetchval("SELECT status FROM sms") == "unknown"


async def test_one_sms_that_cannot_be_written_does_not_spoil_the_batch(ledger: Ledger) -> None:
    good, bad = bill(), bill(source_id="\x00")

    attempt, fault = await asyncio.gather(
        ledger.claim(good, segments=1), ledger.claim(bad, segments=1), return_exceptions=True
    )

    assert isinstance(attempt, Attempt)
    assert isinstance(fault, asyncpg.CharacterNotInRepertoireError)


async def test_an_outcome_of_a_forgotten_sms_is_dropped(ledger: Ledger, pool: Pool) -> None:
    attempt = await claimed(ledger, bill())
    await pool.execute("DELETE FROM sms")

    await ledger.record(attempt, SENT, took=TOOK)

    assert await pool.fetchval("SELECT count(*) FROM outbox") == 0


async def test_neither_number_nor_text_nor_code_is_kept(ledger: Ledger, pool: Pool) -> None:
    sent, failed = otp(), bill(phone="+976 (9911) 22-33")
    await ledger.record(await claimed(ledger, sent), SENT, took=TOOK)
    await ledger.exhaust(failed, segments=1)

    rows = await pool.fetch("SELECT sms::text AS row FROM sms UNION ALL SELECT outbox::text FROM outbox")
    bodies = await pool.fetch("SELECT convert_from(body, 'UTF8') AS row FROM outbox")
    kept = "\n".join(row["row"] for row in [*rows, *bodies])

    assert not any(
        secret in kept for secret in ("99112233", "9911-2233", "(9911) 22-33", "483920", "Spacehub", "төлбөр")
    )
    assert await pool.fetchval("SELECT count(DISTINCT phone_hash) FROM sms WHERE phone_last4 = '2233'") == 1


async def test_ids_of_events_follow_from_the_attempt_and_its_end(ledger: Ledger, pool: Pool) -> None:
    sms = bill(sms_id=uuid4())
    attempt = await claimed(ledger, sms)
    await ledger.record(attempt, SENT, took=TOOK)
    await pool.execute("UPDATE sms SET status = 'claimed', attempt_log = '[]'")

    await ledger.record(attempt, SENT, took=TOOK * 2)

    assert await pool.fetchval("SELECT count(*) FROM outbox") == 1


@pytest.mark.parametrize("outcome", [SENT, outcomes.failed("invalid_phone"), outcomes.unknown("timeout")], ids=str)
async def test_an_end_that_was_lost_on_its_way_is_told_again(ledger: Ledger, pool: Pool, outcome: Outcome) -> None:
    sms = bill()
    await ledger.record(await claimed(ledger, sms), outcome, took=TOOK)
    [first] = await pool.fetch("DELETE FROM outbox RETURNING message_id, routing_key")

    assert await ledger.claim(sms, segments=2) is None

    [again] = await pool.fetch("SELECT message_id, routing_key FROM outbox")
    assert again == first


async def _waits_for_a_lock(pool: Pool) -> bool:
    waiting: int = await pool.fetchval("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
    return waiting > 0
