"""sms-sender while its carrier misbehaves: lanes rest and probe, nothing is lost, no bill holds up a code."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

import httpx
import pytest
from sms_sender.testing.requests import bill, numbered, otp
from spacehub.quiet_hours import ULAANBAATAR
from spacehub.testing.waiting import eventually

if TYPE_CHECKING:
    from tests.conftest import House

FEW = {"SMS_SENDER_STANDARD_CONCURRENCY": "5"}


async def resting(house: House, lane: str, verdict: float = 1.0) -> bool:
    """Whether the lane of the newest sender rests, by its metrics."""
    return await told(house, f'spacehub_resting{{what="{lane}"}} {verdict}')


async def told(house: House, line: str) -> bool:
    """Whether the newest sender's page of metrics has the line."""
    async with httpx.AsyncClient(trust_env=False) as client:
        try:
            page = (await client.get(f"http://127.0.0.1:{house.ports[-1]}/metrics")).text
        except httpx.ConnectError:
            return False
    return line in page


@pytest.mark.parametrize("mode", ["500", "503"])
async def test_a_carrier_that_is_down_rests_the_lane_and_a_code_passes_when_it_is_back(house: House, mode: str) -> None:
    bills = numbered(bill, 40)
    await house.behave(mode)
    house.start("consume", **FEW)
    await house.ask(*bills)
    await eventually(partial(resting, house, "standard"))
    tried = await house.pool.fetchval("SELECT count(*) FROM sms")

    await house.behave("ok")
    code = otp()
    await house.ask(code)
    await house.settled(code, *bills)

    assert tried < 15  # of forty: the others wait, unclaimed
    assert sorted(await house.texts()) == sorted(sms.text for sms in (code, *bills))
    assert await resting(house, "standard", 0.0)


@pytest.mark.parametrize("mode", ["hang", "accept_then_reset", "garbage"])
async def test_a_carrier_that_does_not_answer_leaves_few_bills_in_doubt(house: House, mode: str) -> None:
    bills = numbered(bill, 40)
    await house.behave(mode)
    house.start("consume", **FEW, SMS_SENDER_GATEWAY_DEADLINE="PT0.5S")
    await house.ask(*bills)
    await eventually(partial(resting, house, "standard"))

    code = otp()
    await house.behave("ok")
    await house.ask(code)
    await house.settled(code, *bills)

    ends = await house.ends()
    assert ends["sent"] + ends["unknown"] == 41
    assert 5 <= ends["unknown"] < 15
    await house.check(code, *bills)


@pytest.mark.parametrize(("mode", "reason"), [("401", "credentials"), ("429", "rate_limited")])
async def test_a_refused_account_rests_both_lanes_and_burns_no_attempt(house: House, mode: str, reason: str) -> None:
    requests = [*numbered(bill, 10), *numbered(otp, 5)]
    await house.behave(mode, count=1, **({"retry_after": 2} if mode == "429" else {}))
    sender = house.start("consume", SMS_SENDER_STANDARD_CONCURRENCY="1", SMS_SENDER_CRITICAL_CONCURRENCY="1")
    await house.ask(bill(text="the first"))
    await eventually(partial(resting, house, "standard"))
    both = await resting(house, "critical")

    await house.ask(*requests)
    await house.settled(*requests)
    await eventually(partial(house.counts, {"sent": 16}))

    rows = await house.pool.fetch("SELECT attempts FROM sms")
    assert both
    assert {row["attempts"] for row in rows} == {1}
    assert f'"reason": "{reason}"' in sender.log.read_text()


async def test_the_pace_holds_for_all_senders_and_codes_overtake_bills(house: House) -> None:
    bills, codes = numbered(bill, 40), numbered(otp, 5)
    for _ in range(3):
        house.start("consume", SMS_SENDER_GATEWAY_RATE="10")
    await house.ask(*bills)
    await eventually(partial(house.took, 5))
    await house.ask(*codes)

    await house.settled(*bills, *codes)

    taken = (await house.carrier.get("/control/messages")).json()["messages"]
    times = [datetime.fromisoformat(message["receivedAt"]) for message in taken]
    texts = [message["text"] for message in taken]
    in_a_second = [sum(start <= time < start + timedelta(seconds=1) for time in times) for start in times]
    assert max(in_a_second) < 20  # of 45; test_pacing counts exactly
    assert max(texts.index(code.text) for code in codes) < 25
    assert len(texts) == 45


async def test_in_quiet_hours_a_code_goes_and_a_bill_waits_for_the_morning(house: House) -> None:
    local = datetime.now(UTC).astimezone(ULAANBAATAR)
    window = f"{local - timedelta(hours=1):%H:%M}-{local + timedelta(hours=1):%H:%M}"
    asked, code = bill(), otp()
    await house.ask(asked)
    sender = house.start("consume", SMS_SENDER_QUIET_HOURS=window)
    await house.ask(code)
    await house.settled(code)
    quiet = await house.row(asked)
    await eventually(partial(told, house, 'spacehub_resting_in_quiet_hours{queue="sms-sender.standard"} 1.0'))
    await asyncio.to_thread(sender.stop)

    house.start("consume")
    await house.settled(asked)

    assert quiet == {}
    assert await house.texts() == [code.text, asked.text]


async def test_a_stopped_sender_hands_back_what_its_resting_lane_holds(house: House) -> None:
    bills = numbered(bill, 20)
    await house.behave("503")
    sender = house.start("consume", **FEW)
    await house.ask(*bills)
    await eventually(partial(resting, house, "standard"))

    await asyncio.to_thread(sender.stop)
    await house.behave("ok")
    house.start("consume")
    await house.settled(*bills)

    assert sender.exit_code == 0
    assert sorted(await house.texts()) == sorted(sms.text for sms in bills)
