"""push-sender as it runs: a process between a real broker, the real devices-api and the simulated FCM."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest
from devices_api.app import MIGRATIONS
from devices_api.registry import Registry
from push_sender.device import Device
from push_sender.testing import BOLD, SARAA, devices, push_request
from spacehub import database, dead_letters, migrating
from spacehub.confirming import Outgoing
from spacehub.events.catalogue import DELIVERIES_EXCHANGE
from spacehub.events.envelope import Event, write
from spacehub.events.facts import BillCancelled
from spacehub.testing.waiting import eventually
from spacehub_dev.provisioning.fresh import MakeDatabase

from .conftest import Simulator
from .house import House, open_house


def migrate(url: str) -> None:
    migrating.upgrade(MIGRATIONS, url)


@pytest.fixture
async def house(
    broker: str, simulator: Simulator, make_database: MakeDatabase, key_file: Path, tmp_path: Path
) -> AsyncIterator[House]:
    pool = await database.open_pool(await make_database(migrate), size=4)
    async with open_house(broker, simulator, Registry(pool), key_file, tmp_path) as house:
        yield house
    await pool.close()


async def test_devices_of_three_platforms_receive_the_exact_message_and_the_end_is_told(house: House) -> None:
    phones = [Device("t-ios", "ios"), Device("t-android", "android"), Device("t-web", "web")]
    await house.register(BOLD, *phones)
    push = push_request(BOLD)

    async with house.devices_api():
        await house.start()
        await house.ask(push)
        [end] = await house.hears("push.sent")

    assert (end.push_id, end.source_id, end.user_id, end.sent, end.dead) == (
        push.push_id,
        push.source_id,
        BOLD,
        3,
        0,
    )
    received = await house.simulator.messages()
    assert {message["token"] for message in received} == {"t-ios", "t-android", "t-web"}
    for message in received:
        tag = str(push.notification_id)
        assert message["notification"] == {"title": push.title, "body": push.body}
        assert message["data"] == {"notification_id": tag, "type": "bill.issued", "link": push.link}
        assert message["android"]["notification"] == {"sound": "default", "tag": tag}
        assert message["apns"]["headers"]["apns-collapse-id"] == tag
        assert message["apns"]["payload"] == {"aps": {"sound": "default"}}
        assert message["webpush"]["notification"] == {"tag": tag}


async def test_1203_devices_of_one_user_are_reached_once_each(house: House) -> None:
    phones = devices(1203)
    await house.register(BOLD, *phones)

    async with house.devices_api():
        await house.start()
        await house.ask(push_request(BOLD))
        [end] = await house.hears("push.sent")

    assert end.sent == 1203
    assert sorted(await house.simulator.tokens()) == sorted(device.token for device in phones)


async def test_half_failed_batch_is_sent_again_to_the_failed_only(house: House) -> None:
    owners = [uuid4() for _ in range(10)]
    phones = {owner: devices(4) for owner in owners}
    for owner, owned in phones.items():
        await house.register(owner, *owned)
    failing = [device.token for owned in phones.values() for device in owned[:2]]
    await house.simulator.fault(failing, "UNAVAILABLE")

    async with house.devices_api():
        await house.start()
        await house.ask(*(push_request(owner) for owner in owners))
        await eventually(lambda: house.waiting("push-sender.standard.retry.5s"))
        at_first = await house.simulator.tokens()
        await house.simulator.fault(failing, None)
        ends = await house.hears("push.sent", 10)

    everybody = [device.token for owned in phones.values() for device in owned]
    assert not set(at_first) & set(failing)
    assert sorted(await house.simulator.tokens()) == sorted(everybody)
    assert {(end.sent, end.dead) for end in ends} == {(4, 0)}


async def test_dead_device_is_gone_and_one_that_registered_again_meanwhile_stays(house: House) -> None:
    dead, back, living = devices(3)
    await house.register(BOLD, dead, back, living)
    await house.simulator.fault([dead.token, back.token], "UNREGISTERED")

    async with house.devices_api():
        await house.start()
        await house.ask(push_request(BOLD))
        await house.hears("device.died", 2)
        await house.register(BOLD, back)
        async with house.deaths_are_heard():
            await eventually(lambda: _is_gone(house, dead))

    assert not await _is_gone(house, back)
    assert not await _is_gone(house, living)
    [end] = house.told("push.sent")
    assert (end.sent, end.dead) == (1, 2)


async def _is_gone(house: House, device: Device) -> bool:
    _, addresses = await house.registry.addresses_of([BOLD])
    return device.token not in [address.token for address in addresses]


async def test_payload_fault_fails_the_push_and_deletes_nothing(house: House) -> None:
    phones = devices(3)
    await house.register(BOLD, *phones)

    async with house.devices_api(), house.deaths_are_heard():
        await house.start()
        await house.ask(push_request(BOLD, link="spacehub://" + "x" * 5000))
        [end] = await house.hears("push.failed")

    assert (end.reason, end.sent, end.dead) == ("invalid_argument", 0, 0)
    assert house.told("device.died") == []
    assert len((await house.registry.addresses_of([BOLD]))[1]) == 3


async def test_after_a_hand_over_nothing_for_the_first_user_reaches_the_device_not_even_a_retry(
    house: House,
) -> None:
    [phone] = devices(1)
    await house.register(BOLD, phone)
    await house.simulator.fault([phone.token], "INTERNAL")
    for_bold, for_saraa = push_request(BOLD), push_request(SARAA)

    async with house.devices_api():
        await house.start()
        await house.ask(for_bold)
        await eventually(lambda: house.waiting("push-sender.standard.retry.5s"))
        await house.register(SARAA, phone)
        await house.simulator.fault([phone.token], None)
        await house.ask(for_saraa)
        await house.ended(for_bold, for_saraa)

    assert [message["data"]["notification_id"] for message in await house.simulator.messages()] == [
        str(for_saraa.notification_id)
    ]
    [failed] = house.told("push.failed")
    assert (failed.push_id, failed.reason) == (for_bold.push_id, "no_devices")


async def test_devices_api_down_delays_and_loses_nothing(house: House) -> None:
    pushes = [push_request(uuid4(), critical=number % 2 == 0) for number in range(40)]
    for push in pushes:
        await house.register(push.user_id, *devices(1))
    await house.start()
    await house.ask(*pushes)
    await eventually(lambda: _metric(house, 'spacehub_subscription_paused{queue="push-sender.standard"} 1.0'))

    async with house.devices_api():
        await house.ended(*pushes)

    assert len(house.told("push.sent")) == len(await house.simulator.tokens()) == 40


async def _metric(house: House, line: str) -> bool:
    return line in await house.page("metrics")


async def test_outage_of_fcm_rests_the_lane_and_loses_nothing(house: House) -> None:
    pushes = [push_request(uuid4()) for _ in range(300)]
    for push in pushes:
        await house.register(push.user_id, *devices(1))
    await house.simulator.behave("503")

    async with house.devices_api():
        await house.start()
        await house.ask(*pushes)
        await eventually(lambda: _metric(house, 'spacehub_resting{what="standard"} 1.0'))
        await house.simulator.behave("ok")
        await house.ended(*pushes, within=60)

    assert len(house.told("push.sent")) == len(await house.simulator.tokens()) == 300


async def test_refused_credentials_use_up_nothing_and_are_over_by_themselves(house: House) -> None:
    push = push_request()
    await house.register(BOLD, *devices(1))
    await house.simulator.behave("401")

    async with house.devices_api():
        await house.start()
        await house.ask(push, attempts=5)  # one failure more would be the end
        await eventually(lambda: _metric(house, 'spacehub_resting{what="standard"} 1.0'))
        await house.simulator.behave("ok")
        await house.ended(push)

    assert len(house.told("push.sent")) == 1


async def test_used_up_retries_are_told_and_leave_a_dead_letter_that_a_redrive_sends(house: House) -> None:
    reached, failing = devices(2)
    await house.register(BOLD, reached, failing)
    await house.simulator.fault([failing.token], "INTERNAL")
    push = push_request(BOLD)

    async with house.devices_api():
        await house.start()
        await house.ask(push, attempts=5)
        [end] = await house.hears("push.sent")
        await eventually(lambda: house.waiting("push-sender.standard.dead"))
        await house.simulator.fault([failing.token], None)
        await dead_letters.redrive(house.amqp_url, dead_letters.work_queue("push-sender.standard"))
        await house.hears("push.sent", 2)

    assert (end.sent, end.reason) == (1, "retries_exhausted")
    assert await house.simulator.tokens() == [reached.token, failing.token]


async def test_expired_push_is_told_and_not_sent(house: House) -> None:
    await house.register(BOLD, *devices(1))

    async with house.devices_api():
        await house.start()
        await house.ask(push_request(expires_at=datetime.now(UTC) - timedelta(seconds=1)))
        [end] = await house.hears("push.failed")

    assert end.reason == "expired"
    assert await house.simulator.tokens() == []


async def test_standard_pushes_rest_in_quiet_hours_and_critical_ones_go(house: House) -> None:
    await house.register(BOLD, *devices(1))
    standard, critical = push_request(), push_request(critical=True)

    async with house.devices_api():
        await house.start(PUSH_SENDER_QUIET_HOURS="00:00-23:59")
        await house.ask(standard, critical)
        await house.ended(critical)
        told = await house.page("metrics")

    assert await house.waiting("push-sender.standard") == 1
    assert 'spacehub_resting_in_quiet_hours{queue="push-sender.standard"} 1.0' in told


async def test_killed_in_mid_load_every_push_is_delivered_and_repeats_share_their_tag(house: House) -> None:
    pushes = [push_request(uuid4(), critical=number % 3 == 0) for number in range(300)]
    for push in pushes:
        await house.register(push.user_id, *devices(1))
    await house.simulator.behave("ok", latency_ms=20)

    async with house.devices_api():
        await house.ask(*pushes)
        for wanted in (60, 180):
            sender = await house.start(PUSH_SENDER_FCM_CONNECTIONS="5")
            await eventually(partial(_took, house, wanted), within=60)
            sender.kill()
        await house.start()
        await house.ended(*pushes, within=60)

    tags = [message["android"]["notification"]["tag"] for message in await house.simulator.messages()]
    assert set(tags) == {str(push.notification_id) for push in pushes}
    assert house.told("push.failed") == []
    assert len({event.id for event in house.heard}) == 300


async def _took(house: House, count: int) -> bool:
    return len(await house.simulator.messages()) >= count


async def test_asked_to_stop_it_finishes_what_it_has_in_hand(house: House) -> None:
    pushes = [push_request(uuid4()) for _ in range(50)]
    for push in pushes:
        await house.register(push.user_id, *devices(1))
    await house.simulator.behave("ok", latency_ms=300)

    async with house.devices_api():
        sender = await house.start(PUSH_SENDER_STANDARD_BATCH="10", PUSH_SENDER_STANDARD_WORKERS="1")
        await house.ask(*pushes)
        await eventually(partial(_took, house, 1))
        await asyncio.to_thread(sender.stop)

    tokens = await house.simulator.tokens()
    assert sender.exit_code == 0
    assert len(house.told("push.sent")) == len(tokens) < 50
    assert await house.waiting("push-sender.standard") == 50 - len(tokens)


async def test_what_is_no_push_becomes_a_dead_letter_and_pushes_behind_it_pass(house: House) -> None:
    push = push_request()
    await house.register(BOLD, *devices(1))
    for body in (b"{", write(Event("1", "/billing", BillCancelled(bill_id="1"))).body):
        await house.put(Outgoing(DELIVERIES_EXCHANGE, "push.standard", body, "1", "application/cloudevents+json"))
    await house.ask(push)

    async with house.devices_api():
        await house.start()
        await house.ended(push)

    await eventually(partial(_letters, house, 2))


async def _letters(house: House, count: int) -> bool:
    return await house.waiting("push-sender.standard.dead") == count


async def test_logs_and_metrics_hold_no_token_and_no_text(house: House) -> None:
    dead, refused, failing, well = devices(4)
    await house.register(BOLD, dead, refused, failing, well)
    await house.simulator.fault([dead.token], "INVALID_ARGUMENT")
    await house.simulator.fault([refused.token], "INVALID_ARGUMENT", field="message.data")
    await house.simulator.fault([failing.token], "THIRD_PARTY_AUTH_ERROR")

    async with house.devices_api():
        await house.start(PUSH_SENDER_LOG_LEVEL="DEBUG")
        await house.ask(push_request(title="Нууц гарчиг", body="Нууц үг"))
        await eventually(lambda: house.waiting("push-sender.standard.retry.2m"))
        seen = house.logs() + await house.page("metrics")

    assert not [device.token for device in (dead, refused, failing, well) if device.token in seen]
    assert "Нууц" not in seen
    assert json.dumps("Нууц")[1:-1] not in seen
