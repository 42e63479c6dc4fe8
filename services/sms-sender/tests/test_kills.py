"""sms-sender killed with kill -9: nothing is lost, nothing paid for twice but attempts on record as in doubt."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest
from sms_sender.testing.requests import bill, numbered, otp
from spacehub.testing.waiting import eventually

if TYPE_CHECKING:
    from tests.conftest import House

END_OF_LEASE = "UPDATE sms SET lease_until = clock_timestamp() - interval '1 second' WHERE status = 'claimed'"
"""What a test does instead of waiting for 20 seconds."""


@pytest.mark.parametrize(
    ("point", "status", "paid"), [("claimed", "unknown", 0), ("called", "unknown", 1), ("recorded", "sent", 1)]
)
async def test_a_sender_killed_at_any_point_pays_for_a_bill_once(
    house: House, point: str, status: str, paid: int
) -> None:
    sms = bill()
    await house.ask(sms)
    (await house.start_stopping("standard", point)).kill()
    await house.pool.execute(END_OF_LEASE)

    house.start("consume")
    await house.settled(sms)
    await house.empty("sms-sender.standard")

    assert ((await house.row(sms))["status"], len(await house.texts())) == (status, paid)
    await house.check(sms)


@pytest.mark.parametrize(("point", "paid"), [("claimed", 1), ("called", 2), ("recorded", 1)])
async def test_a_sender_killed_at_any_point_still_brings_the_otp(house: House, point: str, paid: int) -> None:
    sms = otp()
    await house.ask(sms)
    (await house.start_stopping("critical", point)).kill()
    await house.pool.execute(END_OF_LEASE)

    house.start("consume")
    await house.settled(sms)
    await house.empty("sms-sender.critical")

    assert ((await house.row(sms))["status"], len(await house.texts())) == ("sent", paid)
    await house.check(sms)


@pytest.mark.parametrize("mode", ["hang", "ok"], ids=["before the carrier took it", "before the carrier answered"])
async def test_senders_killed_in_mid_call_lose_nothing_and_pay_twice_only_in_doubt(house: House, mode: str) -> None:
    requests = [*numbered(bill, 30), *numbered(otp, 10)]
    await house.behave(mode, **({} if mode == "hang" else {"latency_ms": 60_000}))
    sender = house.start("consume")
    await house.ask(*requests)
    await eventually(partial(house.counts, {"claimed": 40}))
    if mode == "ok":
        await eventually(partial(house.took, 40))

    sender.kill()
    await house.pool.execute(END_OF_LEASE)
    await house.behave("ok")
    house.start("consume")
    await house.settled(*requests)

    assert await house.ends() == {"unknown": 30, "sent": 10}
    await house.check(*requests)


async def test_senders_killed_again_and_again_lose_nothing(house: House) -> None:
    requests = [*numbered(bill, 150), *numbered(otp, 50)]
    await house.behave("ok", latency_ms=20)
    await house.ask(*requests)

    for wanted in (20, 60, 120):
        sender = house.start("consume", SMS_SENDER_STANDARD_CONCURRENCY="5", SMS_SENDER_CRITICAL_CONCURRENCY="5")
        await eventually(partial(house.took, wanted), within=30)
        sender.kill()
        await house.pool.execute(END_OF_LEASE)
    house.start("consume")
    await house.settled(*requests)

    await house.check(*requests)
    assert (await house.ends())["sent"] > 150
