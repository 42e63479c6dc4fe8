"""Budgets and limits hold when many senders claim at once: nothing goes beyond them, and nothing leaks."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import asyncpg
import pytest
from pydantic import SecretStr
from sms_sender import outcomes
from sms_sender.attempts import Attempt
from sms_sender.facts_store import FactsStore
from sms_sender.ledger import Ledger
from sms_sender.leftovers import Leftovers
from sms_sender.sweeping import sweep
from sms_sender.testing.books import PostgresBook
from sms_sender.testing.requests import bill, otp
from spacehub import database
from spacehub.errors import NotNow
from spacehub.events.facts import SmsBudgetThresholdReached

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from spacehub.events.requests import SmsRequested

    Pool = asyncpg.Pool[asyncpg.Record]

KEY = SecretStr("a key for tests")
TOOK = timedelta(milliseconds=120)
OWNER = uuid4()


@pytest.fixture
async def senders(database_url: str) -> AsyncIterator[list[Ledger]]:
    """Five senders, each with connections of its own."""
    pools = [await database.open_pool(database_url, size=3) for _ in range(5)]
    yield [Ledger(pool, phone_key=KEY) for pool in pools]
    for pool in pools:
        await pool.close()


@pytest.fixture
def book(ledger: Ledger, pool: Pool) -> PostgresBook:
    return PostgresBook(ledger, pool)


async def claim_at_once(senders: list[Ledger], asked: list[tuple[SmsRequested, int]]) -> list[Attempt]:
    """The attempts that start when all are asked for at the same time."""
    answers = await asyncio.gather(
        *(senders[number % 5].claim(sms, segments=segments) for number, (sms, segments) in enumerate(asked)),
        return_exceptions=True,
    )
    assert not [answer for answer in answers if isinstance(answer, Exception) and not isinstance(answer, NotNow)]
    return [answer for answer in answers if isinstance(answer, Attempt)]


async def levels(book: PostgresBook) -> Counter[tuple[UUID, int]]:
    """How often each level of an owner was told."""
    facts = [event.data for event in await book.events()]
    return Counter((fact.owner_id, fact.level) for fact in facts if isinstance(fact, SmsBudgetThresholdReached))


async def reserved(pool: Pool) -> dict[UUID, int]:
    """What the ledger's SMS hold of their owners' months: all that should be used."""
    rows = await pool.fetch(
        "SELECT owner_id, sum(segments) AS held FROM sms WHERE budget_month IS NOT NULL GROUP BY owner_id"
    )
    return {row["owner_id"]: row["held"] for row in rows}


async def used(pool: Pool) -> dict[UUID, int]:
    rows = await pool.fetch("SELECT owner_id, used FROM budget_months WHERE used > 0")
    return {row["owner_id"]: row["used"] for row in rows}


async def blocked_for(pool: Pool, reason: str) -> int:
    count: int = await pool.fetchval("SELECT count(*) FROM sms WHERE (status, reason) = ('blocked', $1)", reason)
    return count


@pytest.mark.parametrize("limit", [0, 1, 37, 99, 100])
async def test_a_hundred_bills_at_once_use_the_budget_up_and_no_more(
    book: PostgresBook, senders: list[Ledger], pool: Pool, limit: int
) -> None:
    await book.limit(OWNER, limit)

    attempts = await claim_at_once(senders, [(bill(owner_id=OWNER), 1) for _ in range(100)])

    assert len(attempts) == limit
    assert await book.used(OWNER) == limit
    assert await blocked_for(pool, "budget") == 100 - limit
    assert await levels(book) == {(OWNER, 80): 1, (OWNER, 100): 1}


async def test_a_hundred_bills_of_several_segments_stay_within_the_budget(
    book: PostgresBook, senders: list[Ledger], pool: Pool
) -> None:
    await book.limit(OWNER, 60)

    attempts = await claim_at_once(senders, [(bill(owner_id=OWNER), 1 + number % 3) for number in range(100)])

    assert sum(attempt.segments for attempt in attempts) == 60  # texts of one segment fill what is left
    assert await used(pool) == await reserved(pool) == {OWNER: 60}
    assert await levels(book) == {(OWNER, 80): 1, (OWNER, 100): 1}


async def test_critical_texts_go_beside_the_bills_and_are_counted(book: PostgresBook, senders: list[Ledger]) -> None:
    await book.limit(OWNER, 30)

    attempts = await claim_at_once(
        senders, [(bill(owner_id=OWNER, critical=number % 2 == 0), 1) for number in range(100)]
    )

    bills = len(attempts) - 50
    assert 0 <= bills <= 30
    assert await book.used(OWNER) == 50 + bills
    assert await levels(book) == {(OWNER, 80): 1, (OWNER, 100): 1}


async def test_twenty_codes_at_once_to_one_phone_send_five(senders: list[Ledger], pool: Pool) -> None:
    attempts = await claim_at_once(senders, [(otp(), 1) for _ in range(20)])

    assert len(attempts) == 5
    assert await blocked_for(pool, "rate_limited") == 15


async def test_copies_of_one_code_take_one_place(senders: list[Ledger]) -> None:
    sms = otp()

    copies = await claim_at_once(senders, [(sms, 1)] * 20)
    others = await claim_at_once(senders, [(otp(), 1) for _ in range(20)])

    assert (len(copies), len(others)) == (1, 4)


async def test_copies_of_one_bill_are_counted_once(book: PostgresBook, senders: list[Ledger]) -> None:
    sms = bill(owner_id=OWNER)

    await claim_at_once(senders, [(sms, 3)] * 20)

    assert await book.used(OWNER) == 3


async def test_whatever_becomes_of_many_texts_what_is_used_is_what_they_hold(
    book: PostgresBook, senders: list[Ledger], pool: Pool
) -> None:
    chance = random.Random(7)
    owners = [uuid4() for _ in range(6)]
    for owner in owners:
        await book.limit(owner, 25)
    asked = [
        (bill(owner_id=chance.choice(owners), subject=f"bill:{number % 9}"), chance.randint(1, 3))
        for number in range(150)
    ]

    async def go_through(number: int, sms: SmsRequested, segments: int) -> None:
        sender, fate = senders[number % 5], random.Random(number)
        for _ in range(4):
            attempt = await sender.claim(sms, segments=segments)
            if attempt is None:
                return
            match fate.choice(["sent", "refused", "unknown", "release", "give back", "lost"]):
                case "sent":
                    await sender.record(attempt, outcomes.sent("m"), took=TOOK)
                case "refused":
                    await sender.record(attempt, outcomes.failed("invalid_phone"), took=TOOK)
                case "unknown":
                    await sender.record(attempt, outcomes.unknown("timeout"), took=TOOK)
                case "release":
                    await sender.release(attempt, "status_503", took=TOOK)
                case "give back":
                    await sender.give_back(attempt)
                case "lost":
                    await pool.execute(
                        "UPDATE sms SET lease_until = clock_timestamp() - interval '2 minutes' WHERE sms_id = $1",
                        sms.sms_id,
                    )
        await sender.exhaust(sms, segments=segments)

    async def housekeep() -> None:
        for number in range(9):
            await asyncio.gather(*(sweep(leftovers=Leftovers(pool)) for _ in range(3)))
            await book.close(f"bill:{number}")
            async with FactsStore(pool).learning() as facts:
                await facts.erase([asked[number][0].user_id or OWNER])
            await book.limit(owners[number % 6], 20 + number)

    await asyncio.gather(
        housekeep(), *(go_through(number, sms, segments) for number, (sms, segments) in enumerate(asked))
    )

    assert await used(pool) == await reserved(pool)
    unsent = "SELECT count(*) FROM sms WHERE status IN ('failed', 'expired', 'blocked') AND budget_month IS NOT NULL"
    assert await pool.fetchval(unsent) == 0
    spent = "SELECT count(*) FROM sms WHERE status IN ('sent', 'unknown') AND budget_month IS NULL"
    assert await pool.fetchval(spent) == 0
    assert set((await levels(book)).values()) <= {1}
