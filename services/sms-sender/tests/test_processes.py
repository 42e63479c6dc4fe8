"""The processes of sms-sender as they run, between a real broker, a real database and the simulated carrier."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from typing import TYPE_CHECKING

import aio_pika
from sms_sender.testing.requests import bill, numbered, otp
from spacehub import dead_letters, topology
from spacehub.confirming import Outgoing
from spacehub.consuming import letters
from spacehub.events.catalogue import DELIVERIES_EXCHANGE, EVENTS_EXCHANGE
from spacehub.events.envelope import Event, write
from spacehub.events.requests import SmsEndAsked
from spacehub.testing.waiting import eventually

if TYPE_CHECKING:
    from tests.conftest import House


async def test_requests_of_both_lanes_reach_the_carrier_and_their_ends_reach_the_events(house: House) -> None:
    connection = await aio_pika.connect(house.amqp_url)
    channel = await connection.channel()
    events = await channel.declare_queue(exclusive=True)
    await events.bind(EVENTS_EXCHANGE, "sms.#")
    requests = [otp(), bill(), bill(phone="70112233")]

    house.start("consume")
    house.start("forward")
    await house.ask(*requests)

    told: dict[str, str | None] = {}
    async with asyncio.timeout(20):
        while len(told) < 3:
            message = await events.get(timeout=20, fail=False)
            if message is not None:
                await message.ack()
                told[json.loads(message.body)["data"]["sms_id"]] = message.routing_key
            await asyncio.sleep(0.02)
    await connection.close()
    assert [told[str(sms.sms_id)] for sms in requests] == ["sms.sent", "sms.sent", "sms.failed"]
    assert sorted(await house.texts()) == sorted(sms.text for sms in requests[:2])


async def test_twenty_copies_are_one_sms(house: House) -> None:
    sms = bill()
    await house.ask(*[sms] * 20)

    house.start("consume")
    house.start("consume")
    await house.settled(sms)
    await house.empty("sms-sender.standard")

    assert await house.texts() == [sms.text]
    assert (await house.row(sms))["attempts"] == 1


async def test_end_of_a_code_that_was_lost_on_its_way_is_told_to_whoever_asks(house: House) -> None:
    code = otp()
    connection = await aio_pika.connect(house.amqp_url)
    channel = await connection.channel()
    events = await channel.declare_queue(exclusive=True)
    await events.bind(EVENTS_EXCHANGE, "sms.sent")
    asked = write(Event("1", "/inbox-api", SmsEndAsked(sms_id=code.sms_id, critical=True)))

    async def told() -> tuple[str | None, str]:
        message = await eventually(partial(events.get, no_ack=True, fail=False), within=30)
        await eventually(lambda: house.pool.fetchval("SELECT count(*) = 0 FROM outbox"))
        return message.message_id, json.loads(message.body)["data"]["sms_id"]

    house.start("consume", "critical")
    house.start("forward")
    await house.ask(code)
    first = await told()
    await house.put(Outgoing(DELIVERIES_EXCHANGE, asked.routing_key, asked.body, asked.id, asked.content_type))
    second = await told()

    await connection.close()
    assert first == second == (first[0], str(code.sms_id))
    assert await house.texts() == [code.text]


async def test_what_is_no_request_becomes_a_dead_letter_and_requests_behind_it_pass(house: House) -> None:
    sms = bill()
    stray = {"specversion": "1.0", "id": "1", "source": "/x", "type": "mn.spacehub.bill.cancelled"}
    body = json.dumps({**stray, "data": {"bill_id": "1"}}).encode()
    messages = [
        Outgoing(DELIVERIES_EXCHANGE, "sms.standard", body, "1", "application/cloudevents+json"),
        Outgoing(DELIVERIES_EXCHANGE, "sms.standard", b"{", "2", "application/cloudevents+json"),
    ]
    await house.put(*messages)
    await house.ask(sms)

    house.start("consume")
    await house.settled(sms)

    await eventually(partial(house.has_letters, "sms-sender.standard.dead", 2))
    assert await house.texts() == [sms.text]


async def test_standard_texts_that_hang_do_not_hold_up_an_otp(house: House) -> None:
    bills = numbered(bill, 60)
    await house.behave("hang", count=50)
    house.start("consume")
    await house.ask(*bills)
    await eventually(partial(house.counts, {"claimed": 50}))

    code = otp()
    await house.ask(code)
    await house.settled(code)

    assert await house.texts() == [code.text]
    assert (await house.ends())["claimed"] == 50


async def test_an_outage_of_the_carrier_delays_and_loses_nothing(house: House) -> None:
    requests = [*numbered(bill, 5), *numbered(otp, 5)]
    await house.behave("503", count=10)
    house.start("consume")
    await house.ask(*requests)

    await house.settled(*requests)

    assert sorted(await house.texts()) == sorted(sms.text for sms in requests)
    assert [(await house.row(sms))["attempts"] for sms in requests] == [2] * 10


async def test_used_up_retries_fail_with_a_letter_and_a_redrive_sends(house: House) -> None:
    sms = bill()
    message = write(Event(id=str(sms.sms_id), source="/inbox-api", data=sms))
    await house.behave("500", count=1)
    worn = {letters.ATTEMPTS: len(topology.TIERS)}
    await house.put(Outgoing("", "sms-sender.standard", message.body, message.id, message.content_type, worn))
    house.start("consume")
    await eventually(partial(house.has_letters, "sms-sender.standard.dead", 1))
    failed = await house.row(sms)

    await dead_letters.redrive(house.amqp_url, dead_letters.work_queue("sms-sender.standard"))
    await eventually(partial(house.counts, {"sent": 1}))

    assert (failed["status"], failed["reason"]) == ("failed", "retries_exhausted")
    assert ((await house.row(sms))["series"], await house.texts()) == (2, [sms.text])


async def test_a_sender_told_to_stop_finishes_the_calls_it_began(house: House) -> None:
    bills = numbered(bill, 200)
    await house.behave("ok", latency_ms=300)
    first = house.start("consume")
    await house.ask(*bills)
    await eventually(house.texts)

    await asyncio.to_thread(first.stop)
    claimed_at_the_end = (await house.ends()).get("claimed")
    house.start("consume")
    await house.settled(*bills)

    assert (first.exit_code, claimed_at_the_end) == (0, None)
    assert sorted(await house.texts()) == sorted(sms.text for sms in bills)
    assert await house.ends() == {"sent": 200}


async def test_neither_number_nor_text_is_logged_whatever_goes_wrong(house: House) -> None:
    logged = ""
    for modes in (("500", "garbage", "accept_then_reset", "ok"), ("429",), ("401",)):  # the last two rest the lanes
        sender = house.start("consume")
        for mode in modes:
            sms = otp(text="the code is 483920 and private", phone="99112277")
            await house.behave(mode, count=1)
            await house.ask(sms)
            await eventually(partial(house.tried, sms))
        await asyncio.to_thread(sender.stop)
        logged += sender.log.read_text()

    assert logged.count("stopped") == 3
    assert not any(secret in logged for secret in ("483920", "99112277", "private", "secret-of-the-account"))
