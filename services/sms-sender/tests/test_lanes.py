"""The lanes: what rests them, who waits, and who probes."""

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client import REGISTRY
from sms_sender.fates import CeilingReached, CredentialsRefused, GatewayUnavailable, NoAnswer, RateLimited
from sms_sender.lanes import Lane
from sms_sender.sending import send_in_turn
from sms_sender.testing.carrier import FakeGateway
from sms_sender.testing.memory import FakeLedger
from sms_sender.testing.requests import bill, numbered, otp
from spacehub.breaker import Breaker, State
from spacehub.errors import NotNow, TemporaryFailure
from spacehub.events.requests import SmsRequested
from spacehub.outbox import Lane as LaneName
from spacehub.running import Task
from spacehub.testing.clock import Clock
from spacehub.testing.waiting import eventually

LONG = 3600.0
SOON = timedelta(milliseconds=50)


class Road:
    """Both lanes to one carrier. A message is held for long unless `hold` says otherwise."""

    def __init__(self, *, hold: float = LONG) -> None:
        self.gateway = FakeGateway()
        self.ledger = FakeLedger()
        self.clock = Clock()
        names: tuple[LaneName, ...] = ("critical", "standard")
        self.lanes = {
            name: Lane(
                name,
                gateway=self.gateway,
                places=50,
                breaker=Breaker(name, clock=self.clock),
                account_refused=self._refused,
                hold=hold,
            )
            for name in names
        }

    def _refused(self, refusal: RateLimited | CredentialsRefused) -> None:
        for lane in self.lanes.values():
            lane.rest(refusal)

    def lane(self, sms: SmsRequested) -> Lane:
        return self.lanes["critical" if sms.critical else "standard"]

    async def send(self, sms: SmsRequested) -> None:
        async with asyncio.timeout(8):  # whoever is never let go fails instead of standing still
            await send_in_turn(sms, lane=self.lane(sms), ledger=self.ledger, deadline=timedelta(seconds=10))

    async def fail(self, lane: LaneName, *failures: Exception) -> None:
        for failure in failures:
            self.gateway.fail_next(failure)
            with pytest.raises(TemporaryFailure):
                await self.send(bill() if lane == "standard" else otp())

    async def fail_until_it_rests(self, lane: LaneName) -> None:
        await self.fail(lane, *[GatewayUnavailable("connect_failed")] * 5)

    def move(self, seconds: float) -> None:
        """The breakers' clock goes on, and whoever waits looks at it."""
        self.clock.now += seconds
        for lane in self.lanes.values():
            lane.tell()

    def state(self, lane: LaneName) -> State:
        return self.lanes[lane].breaker.state


@pytest.fixture
def road() -> Road:
    return Road()


@pytest.fixture
def impatient() -> Road:
    """Nobody is held."""
    return Road(hold=0)


async def test_five_failures_to_answer_rest_their_lane_alone(impatient: Road) -> None:
    await impatient.fail_until_it_rests("standard")

    with pytest.raises(NotNow) as held:
        await impatient.send(bill())
    code = otp()
    await impatient.send(code)

    assert held.value.retry_in == timedelta(seconds=5)
    assert impatient.gateway.texts_to("97699112233") == [code.text]


@pytest.mark.parametrize(
    "failure", [GatewayUnavailable("status_503"), NoAnswer("timeout"), NoAnswer("connection_lost"), RuntimeError("?")]
)
async def test_every_failure_to_answer_counts(impatient: Road, failure: Exception) -> None:
    for _ in range(5):
        impatient.gateway.fail_next(failure)
        with suppress(TemporaryFailure):
            await impatient.send(bill())

    assert impatient.state("standard") is State.RESTING


async def test_what_is_handed_back_was_neither_claimed_nor_tried(impatient: Road) -> None:
    await impatient.fail_until_it_rests("standard")
    sms = bill()

    with pytest.raises(NotNow) as held:
        await impatient.send(sms)

    assert sms.sms_id not in impatient.ledger.rows
    assert (held.value.counts, held.value.not_after) == (False, sms.expires_at)


async def test_what_is_held_goes_when_the_probe_was_answered(road: Road) -> None:
    await road.fail_until_it_rests("standard")
    calls = road.gateway.calls
    road.gateway.hang()
    waiting = [asyncio.ensure_future(road.send(sms)) for sms in numbered(bill, 20)]

    road.move(5)
    await eventually(lambda: road.gateway.calls == calls + 1)
    road.move(1)
    await turn_of_the_loop()
    probing = road.gateway.calls
    road.gateway.answering.set()
    await asyncio.gather(*waiting)

    assert probing == calls + 1
    assert road.gateway.calls == calls + 20
    assert road.state("standard") is State.OPEN


async def test_a_failed_probe_rests_the_lane_longer(road: Road) -> None:
    await road.fail_until_it_rests("standard")
    waiting = [asyncio.ensure_future(road.send(sms)) for sms in numbered(bill, 5)]
    await turn_of_the_loop()
    road.gateway.fail_next(GatewayUnavailable("connect_failed"))

    road.move(5)
    await eventually(lambda: sum(task.done() for task in waiting) == 1)
    road.move(9)
    await turn_of_the_loop()
    early = road.gateway.calls
    road.move(1)
    await asyncio.wait(waiting)

    assert early == 6
    assert sum(task.exception() is not None for task in waiting) == 1


async def test_a_probe_that_never_asked_the_carrier_is_followed_by_another(road: Road) -> None:
    settled = bill()
    await road.send(settled)
    await road.fail_until_it_rests("standard")

    road.move(5)
    await road.send(bill(phone="70112233"))
    await road.send(settled)
    road.ledger.fail_next("claim", NotNow("another_attempt_runs"))
    with pytest.raises(NotNow):
        await road.send(bill())
    assert road.state("standard") is State.PROBE_DUE

    await road.send(bill())

    assert road.state("standard") is State.OPEN


async def test_a_probe_that_was_cancelled_is_followed_by_another(road: Road) -> None:
    await road.fail_until_it_rests("standard")
    road.move(5)
    road.gateway.hang()
    probe = asyncio.ensure_future(road.send(bill()))
    await eventually(lambda: road.gateway.calls == 6)

    probe.cancel()
    await asyncio.wait([probe])

    assert road.state("standard") is State.PROBE_DUE


@pytest.mark.parametrize("lane", ["critical", "standard"])
async def test_refused_credentials_rest_both_lanes_and_burn_nothing(impatient: Road, lane: LaneName) -> None:
    await impatient.fail(lane, CredentialsRefused("credentials"))

    for sms in (bill(), otp()):
        with pytest.raises(NotNow) as held:
            await impatient.send(sms)
        assert held.value.retry_in == timedelta(seconds=5)
    [row] = impatient.ledger.rows.values()
    assert (row.status, row.attempts, impatient.gateway.calls) == ("waiting", 0, 1)


async def test_a_ceiling_that_is_reached_rests_its_lane_alone_until_there_is_room(impatient: Road) -> None:
    impatient.ledger = FakeLedger(ceiling=2)
    await impatient.send(bill())
    with pytest.raises(CeilingReached) as stop:
        await impatient.send(bill())

    with pytest.raises(NotNow) as held:
        await impatient.send(bill())
    await impatient.send(otp())

    assert stop.value.retry_in
    assert held.value.retry_in == stop.value.retry_in
    assert (impatient.state("standard"), impatient.state("critical")) == (State.RESTING, State.OPEN)
    assert len(impatient.ledger.rows) == 3  # the one that was held never came to the ledger

    impatient.clock.now += stop.value.retry_in.total_seconds()
    impatient.ledger.allowance.a_minute_passes()
    await impatient.send(bill())
    assert impatient.state("standard") is State.OPEN


async def test_refused_credentials_are_probed_in_each_lane_less_and_less_often(impatient: Road) -> None:
    rests = []
    for _ in range(6):
        await impatient.fail("standard", CredentialsRefused("credentials"))
        rests.append(impatient.lanes["standard"].breaker.rest_left.total_seconds())
        impatient.move(rests[-1])

    assert rests == [5, 10, 20, 40, 60, 60]
    assert impatient.state("critical") is State.PROBE_DUE


@pytest.mark.parametrize(
    ("wish", "standard", "critical"),
    [(None, 5, 5), (0, 5, 5), (2, 2, 2), (20, 20, 20), (300, 300, 30), (86_400, 3600, 30)],
)
@pytest.mark.parametrize("lane", ["critical", "standard"])
async def test_a_full_account_rests_both_lanes_as_long_as_it_asked_for(
    impatient: Road, lane: LaneName, wish: int | None, standard: int, critical: int
) -> None:
    await impatient.fail(lane, RateLimited("rate_limited", retry_in=None if wish is None else timedelta(seconds=wish)))

    rests = {name: lane.breaker.rest_left.total_seconds() for name, lane in impatient.lanes.items()}
    [row] = impatient.ledger.rows.values()
    assert rests == {"standard": standard, "critical": critical}
    assert (row.status, row.attempts) == ("waiting", 0)


@pytest.mark.parametrize(("lane", "seconds"), [("critical", 30), ("standard", 3600)])
async def test_a_carrier_that_is_down_for_a_day_by_its_own_word_is_asked_before(
    impatient: Road, lane: LaneName, seconds: int
) -> None:
    day = timedelta(days=1)

    await impatient.fail(lane, *[GatewayUnavailable("status_503", retry_in=day)] * 5)

    assert impatient.lanes[lane].breaker.rest_left == timedelta(seconds=seconds)


async def test_what_a_full_account_refused_comes_back_when_its_own_lane_opens(impatient: Road) -> None:
    impatient.gateway.fail_next(RateLimited("rate_limited", retry_in=timedelta(minutes=5)))

    with pytest.raises(NotNow) as refused:
        await impatient.send(otp())

    assert refused.value.retry_in == timedelta(seconds=30)


async def test_a_full_account_rests_critical_texts_half_a_minute_at_most_however_often(impatient: Road) -> None:
    rests = []
    for _ in range(5):
        await impatient.fail("critical", RateLimited("rate_limited"))
        rests.append(impatient.lanes["critical"].breaker.rest_left.total_seconds())
        impatient.move(rests[-1])

    assert rests == [5, 10, 20, 30, 30]


async def test_an_answer_from_before_the_rest_does_not_end_it(road: Road) -> None:
    road.gateway.hang()
    early = asyncio.ensure_future(road.send(bill()))
    await eventually(lambda: road.gateway.calls == 1)
    for lane in road.lanes.values():
        lane.rest(RateLimited("rate_limited", retry_in=timedelta(seconds=60)))

    road.gateway.answering.set()
    await early

    assert road.state("standard") is State.RESTING


async def test_what_expires_while_it_is_held_ends_without_a_call(road: Road) -> None:
    road.lanes["critical"].rest(RateLimited("rate_limited", retry_in=timedelta(hours=1)))
    calls = road.gateway.calls
    sms = otp(expires_at=datetime.now(UTC) + SOON)

    await road.send(sms)

    assert (road.ledger.rows[sms.sms_id].status, road.gateway.calls) == ("expired", calls)


async def test_nothing_reaches_a_resting_carrier_even_where_clocks_disagree() -> None:
    road = Road()
    ahead = Lane(
        "standard",
        gateway=road.gateway,
        places=50,
        breaker=Breaker("standard", clock=road.clock),
        account_refused=lambda _: None,
        now=lambda: datetime.now(UTC) + timedelta(days=2),
    )
    ahead.rest(RateLimited("rate_limited"))
    sms = bill()

    with pytest.raises(NotNow):
        await send_in_turn(sms, lane=ahead, ledger=road.ledger, deadline=timedelta(seconds=10))

    assert (road.gateway.calls, road.ledger.rows[sms.sms_id].attempts) == (0, 0)


async def test_who_is_held_is_handed_back_at_once_when_the_lane_is_told_to_stop(road: Road) -> None:
    road.lanes["standard"].rest(RateLimited("rate_limited", retry_in=timedelta(hours=1)))
    stopping = asyncio.Event()
    held = [road.send(sms) for sms in numbered(bill, 10)]
    working = asyncio.ensure_future(road.lanes["standard"].attended(bringing(*held))(stopping))
    await turn_of_the_loop()

    stopping.set()

    with pytest.raises(NotNow):
        await working


async def test_a_lane_that_was_stopped_in_the_evening_holds_again_in_the_morning(road: Road) -> None:
    await road.fail_until_it_rests("standard")
    lane, evening = road.lanes["standard"], asyncio.Event()
    evening.set()
    await lane.attended(bringing())(evening)

    next_day = asyncio.ensure_future(lane.attended(bringing(road.send(bill())))(asyncio.Event()))
    await turn_of_the_loop()
    held = not next_day.done()
    road.move(5)
    await next_day

    assert held


async def test_rests_are_told_to_the_metrics(impatient: Road) -> None:
    await impatient.fail_until_it_rests("standard")

    assert REGISTRY.get_sample_value("spacehub_resting", {"what": "standard"}) == 1
    assert REGISTRY.get_sample_value("spacehub_resting", {"what": "critical"}) == 0


def bringing(*work: Awaitable[None]) -> Task:
    """A long task that has these messages in hand."""

    async def task(_: asyncio.Event) -> None:
        await asyncio.gather(*work)

    return task


async def turn_of_the_loop() -> None:
    """Everybody who can go on has gone on."""
    for _ in range(50):
        await asyncio.sleep(0)
