"""Places at the carrier: who has one, and from when to when."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from sms_sender.attempts import Attempt
from sms_sender.lanes import Lane
from sms_sender.outcomes import Outcome
from sms_sender.sending import send_in_turn
from sms_sender.testing.carrier import FakeGateway
from sms_sender.testing.memory import FakeLedger
from sms_sender.testing.requests import numbered, otp
from spacehub.breaker import Breaker
from spacehub.errors import NotNow
from spacehub.events.requests import SmsRequested
from spacehub.testing.waiting import eventually


class SlowLedger(FakeLedger):
    """Writes no outcome down before `open` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.open = asyncio.Event()

    async def record(self, attempt: Attempt, outcome: Outcome, *, took: timedelta) -> None:
        await self.open.wait()
        await super().record(attempt, outcome, took=took)


class Counter:
    """A lane with two places, and more texts in hand than that."""

    def __init__(self) -> None:
        self.gateway = FakeGateway()
        self.ledger = SlowLedger()
        self.lane = Lane(
            "critical", gateway=self.gateway, places=2, breaker=Breaker("critical"), account_refused=lambda _: None
        )

    async def send(self, sms: SmsRequested) -> None:
        async with asyncio.timeout(8):  # whoever never gets a place fails instead of standing still
            await send_in_turn(sms, lane=self.lane, ledger=self.ledger, deadline=timedelta(seconds=10))


@pytest.fixture
async def counter() -> Counter:
    return Counter()


async def test_what_has_no_place_is_not_claimed(counter: Counter) -> None:
    counter.gateway.hang()
    counter.ledger.open.set()
    sending = asyncio.gather(*(counter.send(sms) for sms in numbered(otp, 5)))
    await eventually(lambda: counter.gateway.calls == 2)

    assert len(counter.ledger.rows) == 2

    counter.gateway.answering.set()
    await sending
    assert [row.status for row in counter.ledger.rows.values()] == ["sent"] * 5


async def test_a_place_is_free_once_the_carrier_has_answered(counter: Counter) -> None:
    sending = asyncio.gather(*(counter.send(sms) for sms in numbered(otp, 5)))

    await eventually(lambda: counter.gateway.calls == 5)

    assert [row.status for row in counter.ledger.rows.values()] == ["claimed"] * 5
    counter.ledger.open.set()
    await sending


async def test_a_place_comes_free_however_the_call_ends(counter: Counter) -> None:
    counter.ledger.open.set()
    for _ in range(3):
        counter.gateway.fail_next(RuntimeError("the client broke"))
        with pytest.raises(Exception, match="unexpected"):
            await counter.send(otp())
    counter.gateway.hang()
    cancelled = [asyncio.create_task(counter.send(sms)) for sms in numbered(otp, 2)]
    await eventually(lambda: counter.gateway.calls == 5)
    for task in cancelled:
        task.cancel()
    await asyncio.wait(cancelled)
    counter.gateway.answering.set()
    for _ in range(3):
        await counter.send(otp(expires_at=datetime.now(UTC)))

    await asyncio.gather(*(counter.send(sms) for sms in numbered(otp, 3)))

    assert counter.gateway.calls == 8


async def test_who_waits_for_a_place_when_the_lane_is_told_to_stop_is_handed_back(counter: Counter) -> None:
    counter.gateway.hang()
    counter.ledger.open.set()
    stopping = asyncio.Event()
    sms = numbered(otp, 5)

    async def bring(_: asyncio.Event) -> None:
        ends = await asyncio.gather(*(counter.send(one) for one in sms), return_exceptions=True)
        handed_back = [end for end in ends if isinstance(end, NotNow)]
        assert [end.not_after for end in handed_back] == [one.expires_at for one in sms[2:]]

    working = asyncio.ensure_future(counter.lane.attended(bring)(stopping))
    await eventually(lambda: counter.gateway.calls == 2)

    stopping.set()
    counter.gateway.answering.set()
    await working

    assert counter.gateway.calls == 2
