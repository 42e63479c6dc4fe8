"""Permits in a lane: taken before the claim, waited for, and not spent in vain."""

import asyncio
from collections.abc import Awaitable
from datetime import UTC, datetime, timedelta

import pytest
from sms_sender.fates import RateLimited
from sms_sender.lanes import Lane
from sms_sender.sending import send_in_turn
from sms_sender.testing.carrier import FakeGateway, FakePace
from sms_sender.testing.memory import FakeLedger
from sms_sender.testing.requests import bill
from spacehub.breaker import Breaker, State
from spacehub.errors import NotNow
from spacehub.running import Task
from spacehub.testing.waiting import eventually

LONG = timedelta(hours=1)
LIMITED = RateLimited("rate_limited", retry_in=LONG)


class Narrow:
    """The standard lane to a carrier that allows only so much."""

    def __init__(self, *, hold: float = 3600, queue: float = 3600) -> None:
        self.gateway = FakeGateway()
        self.pace = FakePace()
        self.time = 1000.0
        self.lane = Lane(
            "standard",
            gateway=self.gateway,
            places=50,
            breaker=Breaker("standard", clock=lambda: self.time),
            account_refused=lambda _: None,
            pace=self.pace,
            hold=hold,
            queue=queue,
        )

    def give_none(self, *, ask_again_in: timedelta = timedelta(milliseconds=1)) -> None:
        self.pace.wait, self.pace.giving = ask_again_in, False

    async def send(self, *, until: datetime | None = None) -> None:
        async with asyncio.timeout(8):  # whoever is never let go fails instead of standing still
            async with self.lane.passage(until=until or datetime.now(UTC) + LONG) as passage:
                await passage.send("97699112233", "text")


async def test_the_permit_is_taken_before_the_claim() -> None:
    road, ledger, sms = Narrow(), FakeLedger(), bill()
    road.give_none(ask_again_in=LONG)
    sending = asyncio.ensure_future(send_in_turn(sms, lane=road.lane, ledger=ledger, deadline=timedelta(seconds=10)))
    await eventually(lambda: road.pace.asked == ["standard"])

    assert ledger.rows == {}
    sending.cancel()


async def test_who_got_no_permit_asks_again() -> None:
    road = Narrow()
    road.give_none()
    sending = asyncio.ensure_future(road.send())
    await eventually(lambda: len(road.pace.asked) > 3)
    early = road.gateway.calls

    road.pace.giving = True
    await sending

    assert (early, road.gateway.calls) == (0, 1)


async def test_who_waits_for_a_permit_is_held_when_a_rest_begins() -> None:
    road = Narrow(hold=0)
    road.pace.wait = LONG
    sending = asyncio.ensure_future(road.send())
    await eventually(lambda: len(road.pace.asked) == 1)

    road.lane.rest(LIMITED)

    with pytest.raises(NotNow):
        await sending
    assert (road.gateway.calls, len(road.pace.asked)) == (0, 1)


async def test_who_waits_for_a_permit_for_too_long_is_handed_back() -> None:
    road = Narrow(queue=0)
    road.give_none()

    with pytest.raises(NotNow):
        await road.send()


async def test_who_waits_for_a_permit_is_handed_back_when_the_lane_is_told_to_stop() -> None:
    road, stopping = Narrow(), asyncio.Event()
    road.give_none(ask_again_in=LONG)
    working = asyncio.ensure_future(road.lane.attended(bringing(road.send()))(stopping))
    await eventually(lambda: len(road.pace.asked) == 1)

    stopping.set()

    with pytest.raises(NotNow):
        await working


async def test_what_expires_before_its_permit_comes_is_let_through_to_expire() -> None:
    road = Narrow()
    road.give_none()

    with pytest.raises(NotNow, match="expiring"):
        await road.send(until=datetime.now(UTC) + timedelta(milliseconds=50))

    assert road.gateway.calls == 0


async def test_no_permit_is_spent_while_the_lane_rests() -> None:
    road = Narrow(hold=0)
    road.lane.rest(LIMITED)

    with pytest.raises(NotNow):
        await road.send()

    assert road.pace.asked == []


async def test_a_probe_without_a_permit_is_followed_by_another() -> None:
    road = Narrow(queue=0)
    road.lane.rest(LIMITED)
    road.time += LONG.total_seconds()
    road.give_none()

    with pytest.raises(NotNow):
        await road.send()

    assert road.lane.breaker.state is State.PROBE_DUE


def bringing(*work: Awaitable[None]) -> Task:
    """A long task that has these messages in hand."""

    async def task(_: asyncio.Event) -> None:
        await asyncio.gather(*work)

    return task
