"""What was left over gets its end, once, and what is too old is forgotten, never too early."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from pydantic import ValidationError
from sms_sender import outcomes
from sms_sender.attempts import Attempt
from sms_sender.ledger import Ledger
from sms_sender.leftovers import Leftovers
from sms_sender.settings import Settings
from sms_sender.sweeping import DAY, sweep, sweeping, tidy
from sms_sender.testing.requests import bill, otp
from spacehub.errors import Away
from spacehub.testing.waiting import eventually

if TYPE_CHECKING:
    from spacehub.events.requests import SmsRequested

    Pool = asyncpg.Pool[asyncpg.Record]

TOOK = timedelta(milliseconds=5)
KEPT = timedelta(days=45)


@pytest.fixture
def leftovers(pool: Pool) -> Leftovers:
    return Leftovers(pool)


async def claimed(ledger: Ledger, sms: SmsRequested) -> Attempt:
    attempt = await ledger.claim(sms, segments=1)
    assert attempt is not None
    return attempt


async def set_back(pool: Pool, column: str, by: timedelta, sms_id: UUID | None = None) -> None:
    """Let `column` of the SMS (of all) lie so long in the past."""
    await pool.execute(
        f"UPDATE sms SET {column} = clock_timestamp() - $1::interval WHERE sms_id = coalesce($2, sms_id)", by, sms_id
    )


async def ends(pool: Pool) -> dict[UUID, tuple[str, str | None]]:
    rows = await pool.fetch("SELECT sms_id, status, reason FROM sms")
    return {row["sms_id"]: (row["status"], row["reason"]) for row in rows}


async def told(pool: Pool) -> list[str]:
    return [row["routing_key"] for row in await pool.fetch("SELECT routing_key FROM outbox ORDER BY id")]


async def test_attempts_that_nobody_concluded_end_as_unknown_once(ledger: Ledger, pool: Pool) -> None:
    requests = [bill() for _ in range(30)]
    for sms in requests:
        await claimed(ledger, sms)
    await set_back(pool, "lease_until", timedelta(minutes=2))

    await asyncio.gather(*(sweep(leftovers=Leftovers(pool)) for _ in range(5)))

    rows = await pool.fetch("SELECT ambiguous, jsonb_array_length(attempt_log) AS logged FROM sms")
    assert set((await ends(pool)).values()) == {("unknown", "lease_ran_out")}
    assert {(row["ambiguous"], row["logged"]) for row in rows} == {(1, 1)}
    assert await told(pool) == ["sms.unknown"] * 30


async def test_a_lease_that_has_just_ended_is_left_to_its_redelivery(
    ledger: Ledger, leftovers: Leftovers, pool: Pool
) -> None:
    running, over = bill(), bill()
    for sms in (running, over):
        await claimed(ledger, sms)
    await set_back(pool, "lease_until", timedelta(seconds=30), over.sms_id)

    await sweep(leftovers=leftovers)

    assert {status for status, _ in (await ends(pool)).values()} == {"claimed"}


async def test_a_code_worth_another_attempt_is_left_to_its_redelivery_while_it_is_of_use(
    ledger: Ledger, leftovers: Leftovers, pool: Pool
) -> None:
    fresh, stale, second = otp(), otp(), otp()
    for sms in (fresh, stale, second):
        await claimed(ledger, sms)
    await pool.execute("UPDATE sms SET ambiguous = 1 WHERE sms_id = $1", second.sms_id)
    await pool.execute(
        "UPDATE sms SET expires_at = clock_timestamp() + interval '20 seconds' WHERE sms_id = $1", stale.sms_id
    )
    await set_back(pool, "lease_until", timedelta(minutes=2))

    await sweep(leftovers=leftovers)

    found = await ends(pool)
    assert (found[fresh.sms_id][0], found[stale.sms_id][0], found[second.sms_id][0]) == (
        "claimed",
        "unknown",
        "unknown",
    )


async def test_what_waits_beyond_its_time_ends_as_expired_or_as_in_doubt_as_it_was(
    ledger: Ledger, leftovers: Leftovers, pool: Pool
) -> None:
    unsent, doubtful, late, valid = bill(), otp(), bill(), bill()
    for sms in (unsent, late, valid):
        await ledger.release(await claimed(ledger, sms), "status_503", took=TOOK)
    await ledger.doubt(await claimed(ledger, doubtful), "timeout", took=TOOK)
    for sms in (unsent, doubtful):
        await set_back(pool, "expires_at", timedelta(minutes=2), sms.sms_id)
    await set_back(pool, "expires_at", timedelta(seconds=30), late.sms_id)

    await sweep(leftovers=leftovers)

    found = await ends(pool)
    assert (found[unsent.sms_id], found[doubtful.sms_id]) == (("expired", "expired"), ("unknown", "timeout"))
    assert {found[late.sms_id][0], found[valid.sms_id][0]} == {"waiting"}
    assert sorted(await told(pool)) == ["sms.expired", "sms.unknown"]


async def test_an_answer_that_comes_after_the_sweep_still_counts(
    ledger: Ledger, leftovers: Leftovers, pool: Pool
) -> None:
    attempt = await claimed(ledger, bill())
    await set_back(pool, "lease_until", timedelta(minutes=2))
    await sweep(leftovers=leftovers)

    await ledger.record(attempt, outcomes.sent("m"), took=TOOK)

    assert (await ends(pool))[attempt.sms_id] == ("sent", None)
    assert await told(pool) == ["sms.unknown", "sms.sent"]


async def test_what_was_settled_long_ago_is_forgotten_and_nothing_else(
    ledger: Ledger, leftovers: Leftovers, pool: Pool
) -> None:
    old, young, waiting, running = bill(), bill(), bill(), bill()
    for sms in (old, young):
        await ledger.record(await claimed(ledger, sms), outcomes.sent("m"), took=TOOK)
    await ledger.release(await claimed(ledger, waiting), "status_503", took=TOOK)
    await claimed(ledger, running)
    await set_back(pool, "created_at", timedelta(days=400))
    await set_back(pool, "settled_at", timedelta(days=46), old.sms_id)
    await set_back(pool, "settled_at", timedelta(days=44), young.sms_id)

    await tidy(leftovers=leftovers, kept=KEPT)

    assert set(await ends(pool)) == {sms.sms_id for sms in (young, waiting, running)}


async def test_old_facts_are_forgotten_but_never_that_a_user_was_deleted(leftovers: Leftovers, pool: Pool) -> None:
    user = f"user:{uuid4()}"
    await pool.execute(
        "INSERT INTO closings (subject, closed, decided_at, recorded_at)"
        " SELECT subject, true, now(), now() - age FROM unnest($1::text[], $2::interval[]) AS new (subject, age)",
        ["bill:old", "bill:young", user],
        [timedelta(days=46), timedelta(days=44), timedelta(days=400)],
    )
    await pool.execute("INSERT INTO learned_facts VALUES ($1, now() - interval '46 d'), ($2, now())", uuid4(), uuid4())

    await tidy(leftovers=leftovers, kept=KEPT)

    assert {row["subject"] for row in await pool.fetch("SELECT subject FROM closings")} == {"bill:young", user}
    assert await pool.fetchval("SELECT count(*) FROM learned_facts") == 1


async def test_old_months_are_forgotten_and_phones_a_day_after_their_last_code(
    ledger: Ledger, leftovers: Leftovers, pool: Pool
) -> None:
    owner = uuid4()
    await pool.execute(
        "INSERT INTO budget_months SELECT $1, (now() - age)::date, 5 FROM unnest($2::interval[]) AS age",
        owner,
        [timedelta(days=80), timedelta(days=70), timedelta(days=1)],
    )
    await claimed(ledger, otp(phone="99112233"))
    await claimed(ledger, otp(phone="88112233"))
    await claimed(ledger, otp(phone="88112233"))
    await pool.execute(
        "UPDATE code_counts SET counted_at[1] = now() - interval '25 hours' WHERE phone_hash IN (SELECT phone_hash"
        " FROM sms WHERE phone_last4 = '2233')"
    )

    await tidy(leftovers=leftovers, kept=KEPT)

    assert await pool.fetchval("SELECT count(*) FROM budget_months WHERE owner_id = $1", owner) == 2
    assert await pool.fetchval("SELECT array_agg(cardinality(sms_ids)) FROM code_counts") == [2]


async def test_a_deleted_user_is_erased_from_what_ended_after_the_deletion(
    ledger: Ledger, leftovers: Leftovers, pool: Pool
) -> None:
    gone, stays = bill(), bill()
    for sms in (gone, stays):
        await ledger.record(await claimed(ledger, sms), outcomes.sent("m"), took=TOOK)
    await pool.execute("INSERT INTO closings VALUES ('user:' || $1::text, true, now())", str(gone.user_id))

    await tidy(leftovers=leftovers, kept=KEPT)

    rows = {row["sms_id"]: row for row in await pool.fetch("SELECT * FROM sms")}
    assert [rows[gone.sms_id][column] for column in ("user_id", "phone_hash", "phone_last4")] == [None] * 3
    assert rows[stays.sms_id]["user_id"] == stays.user_id


@pytest.mark.parametrize("days", [0, 30])
def test_the_ledger_cannot_be_told_to_forget_before_dead_letters_do(days: int) -> None:
    known: dict[str, Any] = {
        "amqp_url": "amqp://",
        "database_url": "postgresql://",
        "health_port": 1,
        "gateway_url": "https://carrier",
        "gateway_username": "u",
        "gateway_password": "p",
        "phone_key": "k",
    }
    assert Settings(**known).ledger_kept == KEPT

    with pytest.raises(ValidationError, match="ledger_kept"):
        Settings(**known, ledger_kept=timedelta(days=days))


class Counted:
    """Leftovers that count who asks, and are away when told so."""

    def __init__(self) -> None:
        self.sweeps = 0
        self.tidied = 0
        self.away = False

    async def end_lost(self, *, most: int) -> int:
        self.sweeps += 1
        if self.away:
            raise Away("postgresql: gone")
        return 0

    async def end_expired(self, *, most: int) -> int:
        return 0

    async def erase_people(self, *, most: int) -> int:
        return 0

    async def forget(self, *, older_than: timedelta, most: int) -> int:
        self.tidied += 1
        return 0


async def test_the_sweeper_outlives_an_outage_and_tidies_once_a_day() -> None:
    leftovers, stopping, now = Counted(), asyncio.Event(), [0.0]
    leftovers.away = True
    task = sweeping(leftovers=leftovers, kept=KEPT, every=0.001, clock=lambda: now[0])
    working = asyncio.ensure_future(task(stopping))

    await eventually(lambda: leftovers.sweeps > 3)
    leftovers.away, so_far = False, leftovers.sweeps
    await eventually(lambda: leftovers.sweeps > so_far + 10)
    first_day = leftovers.tidied
    now[0] += DAY
    await eventually(lambda: leftovers.tidied == 2)
    stopping.set()
    await working

    assert first_day == 1
