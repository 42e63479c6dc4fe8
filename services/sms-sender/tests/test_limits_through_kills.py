"""Budgets and limits when senders are killed and the carrier is away: nothing leaks, nothing goes beyond them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from sms_sender.testing.requests import bill, numbered, otp
from spacehub.events.facts import SmsBudgetSet
from spacehub.testing.waiting import eventually

if TYPE_CHECKING:
    from spacehub.events.requests import SmsRequested
    from tests.conftest import House

OWNER = uuid4()
END_OF_LEASE = "UPDATE sms SET lease_until = clock_timestamp() - interval '1 second' WHERE status = 'claimed'"
LEVELS = "SELECT count(*) FROM outbox WHERE routing_key = 'sms_budget.threshold_reached'"
HELD = "SELECT coalesce(sum(segments), 0) FROM sms WHERE status IN ('sent', 'unknown', 'waiting', 'claimed')"


def bills(count: int) -> list[SmsRequested]:
    return numbered(_bill, count)


def _bill(**changes: object) -> SmsRequested:
    return bill(owner_id=OWNER, **changes)


async def limited_to(house: House, segments: int) -> None:
    """The owner's budget is known to the ledger."""
    teller = house.start("consume", "facts")
    await house.tell(SmsBudgetSet(owner_id=OWNER, monthly_segments=segments))
    await eventually(lambda: house.pool.fetchval("SELECT count(*) FROM budget_limits"))
    teller.kill()


async def used(house: House) -> int:
    count: int = await house.pool.fetchval("SELECT used FROM budget_months WHERE owner_id = $1", OWNER)
    return count


@pytest.mark.parametrize(("point", "paid"), [("claimed", 0), ("called", 1), ("recorded", 1)])
async def test_a_sender_killed_between_reservation_and_settlement_leaks_nothing(
    house: House, point: str, paid: int
) -> None:
    await limited_to(house, 10)
    [sms] = bills(1)
    await house.ask(sms)
    (await house.start_stopping("standard", point)).kill()
    reserved = await used(house)
    await house.pool.execute(END_OF_LEASE)

    house.start("consume")
    await house.settled(sms)
    await house.empty("sms-sender.standard")

    segments = (await house.row(sms))["segments"]
    assert len(await house.texts()) == paid
    assert reserved == await used(house) == segments  # sent, or in doubt: both keep what they took, once


async def test_senders_killed_again_and_again_stay_within_the_budget_and_tell_each_level_once(house: House) -> None:
    await limited_to(house, 60)
    requests = bills(150)
    await house.behave("ok", latency_ms=20)
    await house.ask(*requests)

    for wanted in (10, 25, 40):
        sender = house.start("consume", SMS_SENDER_STANDARD_CONCURRENCY="5")
        await eventually(partial(house.took, wanted), within=30)
        sender.kill()
        await house.pool.execute(END_OF_LEASE)
    house.start("consume")
    await house.settled(*requests)

    paid = await house.texts()
    assert len(paid) == len(set(paid))
    assert len(paid) <= 60
    assert await used(house) == await house.pool.fetchval(HELD) == 60
    assert await house.pool.fetchval(LEVELS) == 2


async def test_a_flood_of_codes_to_one_phone_sends_five_through_an_outage(house: House) -> None:
    codes = [otp(text=f"code {number}") for number in range(20)]
    await house.behave("503")
    house.start("consume", SMS_SENDER_CRITICAL_CONCURRENCY="3")
    await house.ask(*codes[:10])
    await eventually(partial(_rests, house))
    await house.ask(*codes[10:])

    await house.behave("ok")
    await house.settled(*codes)

    assert len(await house.texts()) == 5
    assert await house.ends() == {"sent": 5, "blocked": 15}


async def _rests(house: House) -> bool:
    return '"event": "rest"' in house.programs[-1].log.read_text()


async def test_what_the_ceiling_stops_goes_in_the_next_minute(house: House) -> None:
    requests = numbered(bill, 12)
    sender = house.start("consume", SMS_SENDER_CEILING_PER_MINUTE="10")
    await house.ask(*requests)
    await eventually(partial(house.took, 8))
    await eventually(lambda: "ceiling_reached" in sender.log.read_text())
    [code] = numbered(otp, 1)
    await house.ask(code)
    await house.settled(code)
    taken = await house.texts()

    await house.pool.execute("UPDATE last_minute SET seconds = ARRAY(SELECT at - 61 FROM unnest(seconds) AS at)")
    sender.kill()
    house.start("consume", SMS_SENDER_CEILING_PER_MINUTE="100")
    await house.ask(*requests)  # those that were stopped wait in a tier; a copy need not
    await house.settled(*requests)

    assert len(taken) == 9
    assert code.text in taken
    assert await house.ends() == {"sent": 13}
    assert [row["attempts"] for row in await house.pool.fetch("SELECT DISTINCT attempts FROM sms")] == [1]
