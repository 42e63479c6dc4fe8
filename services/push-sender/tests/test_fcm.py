"""The way to FCM, against the simulator and against sockets that misbehave."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from push_sender.access import Access, service_account
from push_sender.device import Device
from push_sender.fates import Dead, Fate, Passing, Reached, Refused, Untried
from push_sender.fcm import LONGEST_REST, Fcm, connections, platform_breakers
from push_sender.message import Letter, Send, letter_of
from push_sender.testing import devices, push_request
from spacehub.breaker import Breaker, State
from spacehub.testing.clock import Clock
from spacehub.testing.raw_server import Line, raw_server
from spacehub.testing.waiting import eventually

from .conftest import Simulator, write_key


class Lane:
    """A lane's way to FCM, and what may hold it back."""

    def __init__(self, fcm: Fcm, breaker: Breaker, clock: Clock) -> None:
        self.fcm = fcm
        self.breaker = breaker
        self.clock = clock

    async def send(self, to: Sequence[Device], letter: Letter | None = None) -> list[Fate]:
        letter = letter or letter_of(push_request(), now=datetime.now(UTC))
        return await self.fcm.send_each([Send(letter, device) for device in to])


@asynccontextmanager
async def opened_lane(url: str, key_file: Path, *, timeout: float = 10, at_once: int = 100) -> AsyncIterator[Lane]:
    clock = Clock()
    breaker = Breaker("test", clock=clock)
    access = Access(lambda: service_account(key_file))
    async with connections(timeout=timedelta(seconds=timeout)) as session:
        fcm = Fcm(
            f"{url}/v1/projects/spacehub/messages:send",
            session=session,
            access=access,
            lane=breaker,
            platforms=platform_breakers(),
            connections=at_once,
        )
        yield Lane(fcm, breaker, clock)
    access.close()


@pytest.fixture
async def lane(simulator: Simulator, key_file: Path) -> AsyncIterator[Lane]:
    async with opened_lane(simulator.url, key_file) as lane:
        yield lane


async def test_devices_of_three_platforms_receive_the_exact_message(lane: Lane, simulator: Simulator) -> None:
    push = push_request(critical=True, link="https://app.spacehub.mn/announcements/31", about="notification.requested")
    now = push.expires_at - timedelta(minutes=5)
    phones = [Device("t-ios", "ios"), Device("t-android", "android"), Device("t-web", "web")]

    fates = await lane.send(phones, letter_of(push, now=now))

    assert fates == [Reached()] * 3
    tag = str(push.notification_id)
    expected = {
        "notification": {"title": push.title, "body": push.body},
        "data": {"notification_id": tag, "type": "notification.requested", "link": push.link},
        "android": {"priority": "high", "ttl": "300s", "notification": {"sound": "default", "tag": tag}},
        "apns": {
            "headers": {
                "apns-priority": "10",
                "apns-expiration": str(int(now.timestamp()) + 300),
                "apns-collapse-id": tag,
            },
            "payload": {"aps": {"sound": "default"}},
        },
        "webpush": {
            "headers": {"TTL": "300", "Urgency": "high"},
            "notification": {"tag": tag},
            "fcm_options": {"link": push.link},
        },
    }
    received = {message.pop("token"): message for message in await simulator.messages()}
    assert received == dict.fromkeys(("t-ios", "t-android", "t-web"), expected)


async def test_each_device_has_its_own_fate(lane: Lane, simulator: Simulator) -> None:
    faults = {
        "UNREGISTERED": Dead("unregistered"),
        "SENDER_ID_MISMATCH": Dead("sender_id_mismatch"),
        "INVALID_ARGUMENT": Dead("invalid_token"),
        "QUOTA_EXCEEDED": Passing("quota_exceeded", timedelta(minutes=1)),
        "UNAVAILABLE": Passing("unavailable"),
        "INTERNAL": Passing("internal"),
        "THIRD_PARTY_AUTH_ERROR": Passing("third_party_auth_error", timedelta(minutes=1)),
    }
    for error in faults:
        await simulator.fault([error], error)

    fates = await lane.send([*(Device(error, "android") for error in faults), Device("well", "android")])

    assert fates == [*faults.values(), Reached()]
    assert await simulator.tokens() == ["well"]


async def test_payload_fault_kills_no_device(lane: Lane, simulator: Simulator) -> None:
    await simulator.fault(["blamed"], "INVALID_ARGUMENT", field="message.apns.payload")
    too_big = letter_of(push_request(link="spacehub://" + "x" * 5000), now=datetime.now(UTC))

    fates = [*await lane.send([Device("blamed", "ios")]), *await lane.send(devices(2), too_big)]

    assert fates == [Refused("invalid_argument")] * 3


async def test_retry_after_is_handed_on(lane: Lane, simulator: Simulator) -> None:
    await simulator.behave("503", retry_after=42, count=1)

    assert await lane.send(devices(1)) == [Passing("unavailable", timedelta(seconds=42))]


async def test_lane_does_not_rest_for_days_because_somebody_said_so(lane: Lane, simulator: Simulator) -> None:
    await simulator.behave("429", retry_after=86_400)

    fates = await lane.send(devices(5))

    assert fates == [Passing("quota_exceeded", timedelta(days=1))] * 5
    assert lane.breaker.rest_left == LONGEST_REST


@pytest.mark.parametrize(
    ("mode", "reason"), [("accept_then_reset", "connection_lost"), ("garbage", "unreadable_answer")]
)
async def test_answer_that_never_came_is_passing_since_a_repeat_replaces_itself(
    lane: Lane, simulator: Simulator, mode: str, reason: str
) -> None:
    await simulator.behave(mode, count=1)
    [device] = devices(1)

    first, second = [await lane.send([device]), await lane.send([device])]

    assert (first, second) == ([Passing(reason)], [Reached()])
    assert await simulator.tokens() == [device.token] * 2


async def test_request_is_sent_once_whatever_the_answer(lane: Lane, simulator: Simulator) -> None:
    """The library would send it five times (503) or three times (401)."""
    for mode in ("503", "401"):
        await simulator.behave(mode, count=1)
        lane.breaker.succeeded()

        [failed] = await lane.send(devices(1))
        lane.breaker.succeeded()
        [after] = await lane.send(devices(1))

        assert not isinstance(failed, Reached)
        assert after == Reached()


async def test_outage_rests_the_lane_and_the_rest_of_the_call_is_not_tried(key_file: Path) -> None:
    async def fail(line: Line) -> None:
        while True:
            await line.read_request()
            await line.reply("503 Unavailable")

    async with raw_server(fail) as server, opened_lane(server.url, key_file, at_once=10) as lane:
        fates = await lane.send(devices(500))

        tried = [fate for fate in fates if isinstance(fate, Passing)]
        assert len(tried) == len(server.requests) <= 15
        assert lane.breaker.state is State.RESTING
        assert set(fates) - set(tried) == {Untried("status_503", timedelta(seconds=5))}


async def test_hanging_fcm_holds_a_call_for_one_deadline_only(key_file: Path) -> None:
    async def hang(line: Line) -> None:
        await line.read_request()
        await line.wait_for_the_end()

    async with raw_server(hang) as server, opened_lane(server.url, key_file, timeout=0.3, at_once=20) as lane:
        fates = await lane.send(devices(500))

        timeouts = sum(fate == Passing("timeout") for fate in fates)
        assert 20 <= timeouts <= 20 + 4  # the fifth timeout rests the lane
        assert len(server.requests) <= timeouts  # none was sent again; some never left a busy machine


async def test_refused_access_rests_the_lane_and_uses_up_no_attempt(lane: Lane, simulator: Simulator) -> None:
    await simulator.behave("401")

    fates = await lane.send(devices(3))

    assert {type(fate) for fate in fates} == {Untried}
    assert lane.breaker.state is State.RESTING
    assert lane.breaker.reason == "credentials_refused"


async def test_lane_that_was_refused_comes_with_another_access_token(key_file: Path) -> None:
    async def refuse_the_first(line: Line) -> None:
        while True:
            await line.read_request()
            if len(server.requests) == 1:
                await line.reply("401 Unauthorized")
            else:
                await line.reply("200 OK", b'{"name":"projects/spacehub/messages/1"}')

    async with raw_server(refuse_the_first) as server, opened_lane(server.url, key_file) as lane:
        [first] = await lane.send(devices(1))
        lane.clock.now += 5
        [second] = await lane.send(devices(1))

    assert (type(first), second) == (Untried, Reached())
    assert lane.breaker.state is State.OPEN
    assert len({_line_of(request, b"Authorization") for request in server.requests}) == 2


def _line_of(request: bytes, header: bytes) -> bytes:
    return next(line for line in request.split(b"\r\n") if line.startswith(header))


async def test_token_endpoint_that_refuses_us_lets_nothing_out(simulator: Simulator, tmp_path: Path) -> None:
    async def refuse(line: Line) -> None:
        while True:
            await line.read_request()
            await line.reply("400 Bad Request", b'{"error":"invalid_grant"}', "Content-Type: application/json")

    async with raw_server(refuse) as endpoint:
        key = write_key(tmp_path / "key.json", token_uri=f"{endpoint.url}/token")
        async with opened_lane(simulator.url, key) as lane:
            fates = await lane.send(devices(50))

    assert {type(fate) for fate in fates} == {Untried}
    assert lane.breaker.reason == "credentials_refused"
    assert len(endpoint.requests) == 1
    assert await simulator.tokens() == []


async def test_the_loop_goes_on_while_the_token_endpoint_thinks(simulator: Simulator, tmp_path: Path) -> None:
    thinking, think_on = asyncio.Event(), asyncio.Event()

    async def think(line: Line) -> None:
        await line.read_request()
        thinking.set()
        await think_on.wait()
        answer = await simulator.client.post("/token", content=line_body(endpoint.requests[-1]), headers=FORM)
        await line.reply("200 OK", answer.content, "Content-Type: application/json")

    async with raw_server(think) as endpoint:
        key = write_key(tmp_path / "key.json", token_uri=f"{endpoint.url}/token")
        async with opened_lane(simulator.url, key) as lane:
            sending = asyncio.create_task(lane.send(devices(20)))
            await asyncio.wait_for(thinking.wait(), 10)  # this very test runs on: the loop is not held
            think_on.set()
            fates = await sending

    assert fates == [Reached()] * 20
    assert len(endpoint.requests) == 1


FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def line_body(request: bytes) -> bytes:
    return request.partition(b"\r\n\r\n")[2]


async def test_platform_that_does_not_accept_our_key_is_left_alone_and_the_others_go_on(
    lane: Lane, simulator: Simulator
) -> None:
    iphones, androids = devices(3, "ios"), devices(3, "android")
    await simulator.fault([iphones[0].token], "THIRD_PARTY_AUTH_ERROR")

    await lane.send([iphones[0]])
    fates = await lane.send([*iphones[1:], *androids])

    assert [type(fate) for fate in fates] == [Passing] * 2 + [Reached] * 3
    assert await simulator.tokens() == [device.token for device in androids]
    assert lane.breaker.state is State.OPEN


async def test_no_more_than_so_many_messages_are_on_their_way_at_once(key_file: Path) -> None:
    waiting, go_on = 0, asyncio.Event()

    async def hold(line: Line) -> None:
        nonlocal waiting
        while True:
            await line.read_request()
            waiting += 1
            await go_on.wait()
            await line.reply("200 OK", b'{"name":"projects/spacehub/messages/1"}')

    async with raw_server(hold) as server, opened_lane(server.url, key_file, at_once=7) as lane:
        sending = asyncio.create_task(lane.send(devices(30)))
        await eventually(lambda: waiting == 7)
        for _ in range(50):
            await asyncio.sleep(0)
        assert waiting == 7
        go_on.set()

        assert await sending == [Reached()] * 30


async def test_call_of_more_than_500_is_a_mistake(lane: Lane) -> None:
    with pytest.raises(ValueError, match="501"):
        await lane.send(devices(501))


async def test_fault_of_the_client_is_the_fate_of_one_message(
    lane: Lane, simulator: Simulator, capsys: pytest.CaptureFixture[str]
) -> None:
    class Broken(Letter):
        def to(self, device: Device) -> bytes:
            raise ValueError(self.content)

    well, broken = letter_of(push_request(), now=datetime.now(UTC)), Broken("Нууц үг")
    one, two = devices(2)

    fates = await lane.fcm.send_each([Send(broken, one), Send(well, two)])

    assert fates == [Passing("unexpected"), Reached()]
    assert "Нууц" not in capsys.readouterr().out
