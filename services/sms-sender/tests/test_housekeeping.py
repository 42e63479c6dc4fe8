"""sms-sender beside its sending: it hears what closes a subject, and ends what nobody redelivers."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from sms_sender.testing.requests import bill, otp
from spacehub.events.facts import BillCancelled, ContractEnded, SmsBudgetSet
from spacehub.testing.waiting import eventually

if TYPE_CHECKING:
    from tests.conftest import House


async def test_a_bill_that_is_cancelled_while_it_waits_is_withdrawn(house: House) -> None:
    asked, other = bill(subject="bill:7"), bill(subject="bill:8")
    await house.ask(asked, other)
    house.start("consume", "facts")
    await house.tell(BillCancelled(bill_id="7"))
    await eventually(lambda: house.pool.fetchval("SELECT count(*) FROM closings"))

    house.start("consume")
    await house.settled(asked, other)

    row = await house.row(asked)
    assert (row["status"], row["reason"]) == ("blocked", "withdrawn")
    assert await house.texts() == [other.text]


async def test_what_was_claimed_and_is_in_no_queue_ends_all_the_same(house: House) -> None:
    sms = bill()
    await house.ask(sms)
    (await house.start_stopping("standard", "claimed")).kill()
    await house.lose_one("sms-sender.standard")
    await house.pool.execute("UPDATE sms SET lease_until = clock_timestamp() - interval '2 minutes'")

    house.start("consume")
    await house.settled(sms)

    row = await house.row(sms)
    assert (row["status"], row["reason"]) == ("unknown", "lease_ran_out")


async def test_a_sender_of_codes_leaves_bills_and_facts_to_others(house: House) -> None:
    asked, code = bill(), otp()
    await house.ask(asked, code)
    await house.tell(SmsBudgetSet(owner_id=code.sms_id, monthly_segments=5))
    await house.tell(ContractEnded(contract_id="1"))

    sender = house.start("consume", "critical")
    await house.settled(code)
    alone = (await house.row(asked), await house.pool.fetchval("SELECT count(*) FROM learned_facts"))
    await asyncio.to_thread(sender.stop)
    house.start("consume", "standard", "facts")
    await house.settled(asked)
    await eventually(partial(_learned, house, 2))

    assert alone == ({}, 0)
    assert await house.texts() == [code.text, asked.text]


async def _learned(house: House, count: int) -> bool:
    learned: int = await house.pool.fetchval("SELECT count(*) FROM learned_facts")
    return learned == count
