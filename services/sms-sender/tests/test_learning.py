"""What other domains say: subjects close and open, people are forgotten, limits are set; the newest fact wins."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import asyncpg
import pytest
from sms_sender import outcomes
from sms_sender.facts_store import FactsStore
from sms_sender.learning import learn
from sms_sender.ledger import Ledger
from sms_sender.testing.requests import bill, otp
from spacehub.errors import Unreadable
from spacehub.events.envelope import Event
from spacehub.events.facts import (
    BillCancelled,
    BillIssued,
    ContractEnded,
    ContractSigned,
    Fact,
    PaymentConfirmed,
    Recipient,
    SmsBudgetSet,
    UserDeleted,
)

if TYPE_CHECKING:
    Pool = asyncpg.Pool[asyncpg.Record]

NOON = datetime(2026, 12, 5, 12, tzinfo=UTC)
USER, OWNER = uuid4(), uuid4()
TOOK = timedelta(milliseconds=5)


def at(hour: float | None, fact: Fact, *, number: str = "", source: str = "/elsewhere") -> Event:
    """`fact` as it happened so many hours after noon, or at an hour that nobody told."""
    time = None if hour is None else NOON + timedelta(hours=hour)
    return Event(id=number or str(uuid4()), source=source, data=fact, time=time)


def paid(bill_id: str = "1") -> Fact:
    return PaymentConfirmed(
        payment_id="p", bill_id=bill_id, owner_id=OWNER, recipient=Recipient(user_id=USER), amount=1
    )


def signed() -> Fact:
    return ContractSigned(
        contract_id="7",
        owner_id=OWNER,
        recipient=Recipient(user_id=USER),
        property="P",
        unit="1",
        ends_on=NOON.date(),
    )


def ended() -> Fact:
    return ContractEnded(contract_id="7")


@pytest.fixture
def facts(pool: Pool) -> FactsStore:
    return FactsStore(pool)


async def closed(pool: Pool) -> set[str]:
    return {row["subject"] for row in await pool.fetch("SELECT subject FROM closings WHERE closed")}


@pytest.mark.parametrize(
    ("fact", "subject"),
    [
        (paid("A-9"), "bill:A-9"),
        (BillCancelled(bill_id="A-9"), "bill:A-9"),
        (ContractEnded(contract_id="7"), "contract:7"),
        (UserDeleted(user_id=USER), f"user:{USER}"),
    ],
    ids=["paid", "cancelled", "ended", "deleted"],
)
async def test_what_is_closed_is_withdrawn_and_says_so(
    facts: FactsStore, ledger: Ledger, pool: Pool, fact: Fact, subject: str
) -> None:
    await learn([at(0, fact)], facts_kept=facts)
    sms = bill(subject=None, user_id=USER) if subject.startswith("user:") else bill(subject=subject)

    assert await ledger.claim(sms, segments=1) is None

    row = await pool.fetchrow("SELECT status, reason FROM sms")
    assert tuple(row or ()) == ("blocked", "withdrawn")
    assert await pool.fetchval("SELECT routing_key FROM outbox") == "sms.blocked"


async def test_a_receipt_is_sent_though_its_bill_is_paid(facts: FactsStore, ledger: Ledger) -> None:
    await learn([at(0, paid("1"))], facts_kept=facts)

    assert await ledger.claim(bill(about="payment.confirmed", subject=None), segments=1) is not None


@pytest.mark.parametrize("order", list(permutations(range(3))), ids=str)
@pytest.mark.parametrize("together", [True, False], ids=["in one batch", "one by one"])
async def test_the_newest_fact_wins_in_whatever_order_they_come(
    facts: FactsStore, pool: Pool, order: Sequence[int], together: bool
) -> None:
    history = [at(0, signed()), at(1, ended()), at(2, signed())]
    arriving = [history[number] for number in order]

    for batch in [arriving] if together else [[event] for event in arriving]:
        await learn(batch, facts_kept=facts)

    assert await closed(pool) == set()


@pytest.mark.parametrize("together", [True, False], ids=["in one batch", "one by one"])
@pytest.mark.parametrize("hour", [0, None], ids=["at the same time", "at a time not told"])
async def test_at_a_tie_the_later_arrival_wins_and_copies_change_nothing(
    facts: FactsStore, pool: Pool, hour: int | None, together: bool
) -> None:
    first, second = at(hour, ended()), at(hour, signed())
    arriving = [first, second, first]

    for batch in [arriving] if together else [[event] for event in arriving]:
        await learn(batch, facts_kept=facts)

    assert await closed(pool) == set()


async def test_facts_of_one_id_from_two_sources_are_two(facts: FactsStore, pool: Pool) -> None:
    await learn([at(0, paid("1"), number="x"), at(0, paid("2"), number="x", source="/another")], facts_kept=facts)

    assert await closed(pool) == {"bill:1", "bill:2"}


async def test_a_renewed_contract_is_spoken_of_again(facts: FactsStore, ledger: Ledger) -> None:
    await learn([at(0, ended())], facts_kept=facts)
    await learn([at(1, signed())], facts_kept=facts)

    assert await ledger.claim(bill(subject="contract:7"), segments=1) is not None


async def test_a_deleted_user_is_erased_from_what_has_its_end_and_the_ids_stay(
    facts: FactsStore, ledger: Ledger, pool: Pool
) -> None:
    done, running, others = bill(user_id=USER), bill(user_id=USER), bill()
    for sms in (done, others):
        attempt = await ledger.claim(sms, segments=1)
        assert attempt is not None
        await ledger.record(attempt, outcomes.sent("m"), took=TOOK)
    await ledger.claim(running, segments=1)

    await learn([at(0, UserDeleted(user_id=USER))], facts_kept=facts)

    rows = {row["sms_id"]: row for row in await pool.fetch("SELECT * FROM sms")}
    personal = ("user_id", "phone_hash", "phone_last4")
    assert [rows[done.sms_id][column] for column in personal] == [None] * 3
    assert all(rows[sms.sms_id][column] is not None for sms in (running, others) for column in personal)
    assert await ledger.claim(done, segments=1) is None
    assert await ledger.claim(done.model_copy(update={"user_id": None}), segments=1) is None


async def test_the_newest_limit_of_an_owner_is_kept(facts: FactsStore, pool: Pool) -> None:
    other = uuid4()
    await learn([at(1, limit(500)), at(0, limit(100)), at(0, limit(7, other))], facts_kept=facts)
    await learn([at(0.5, limit(200)), at(2, limit(None, other))], facts_kept=facts)

    rows = await pool.fetch("SELECT owner_id, monthly_segments FROM budget_limits")
    assert {row["owner_id"]: row["monthly_segments"] for row in rows} == {OWNER: 500, other: None}


async def test_a_stranger_is_unreadable_and_nothing_of_its_batch_is_kept(facts: FactsStore, pool: Pool) -> None:
    stranger = at(
        0,
        BillIssued(
            bill_id="1",
            owner_id=OWNER,
            recipient=Recipient(user_id=USER),
            month="2026-11",
            amount=1,
            due_date=NOON.date(),
        ),
    )

    with pytest.raises(Unreadable):
        await learn([at(0, paid()), stranger], facts_kept=facts)

    assert await closed(pool) == set()
    assert await pool.fetchval("SELECT count(*) FROM learned_facts") == 0


async def test_a_code_concerns_nobody_that_facts_speak_of(facts: FactsStore, ledger: Ledger) -> None:
    await learn([at(0, UserDeleted(user_id=USER)), at(0, paid())], facts_kept=facts)

    assert await ledger.claim(otp(), segments=1) is not None


def limit(segments: int | None, owner: UUID = OWNER) -> Fact:
    return SmsBudgetSet(owner_id=owner, monthly_segments=segments)
