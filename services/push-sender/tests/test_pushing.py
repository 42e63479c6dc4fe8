"""Bringing pushes to devices, told with fakes."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from push_sender.endings import Ending
from push_sender.fates import Dead, Fate, Passing, Refused, Untried
from push_sender.fuse import Fuse
from push_sender.message import Send
from push_sender.pushing import Pushing
from push_sender.testing import (
    BOLD,
    SARAA,
    FakeDevices,
    FakeFcm,
    FakeOutcomes,
    devices,
    event_of,
    push_request,
)
from spacehub.breaker import Breaker
from spacehub.errors import Away, NotNow, TemporaryFailure
from spacehub.events.facts import PushFailed, PushSent
from spacehub.events.requests import PushRequested

UNAVAILABLE = Passing("unavailable")


class System:
    """A lane and the fakes around it."""

    def __init__(self) -> None:
        self.devices = FakeDevices()
        self.fcm = FakeFcm()
        self.outcomes = FakeOutcomes()
        self.now = 0.0
        self.lane = Breaker("test", clock=lambda: self.now)
        self.pushing = self.restarted()

    def restarted(self) -> Pushing:
        """The lane as another process sees it: nothing in memory."""
        self.pushing = Pushing(devices=self.devices, fcm=self.fcm, outcomes=self.outcomes, lane=self.lane, fuse=Fuse())
        return self.pushing

    async def push(self, *pushes: PushRequested) -> list[Ending]:
        endings = await self.pushing.push({push: event_of(push) for push in pushes})
        return [endings[push] for push in pushes]


@pytest.fixture
def system() -> System:
    return System()


def again(ending: Ending) -> TemporaryFailure:
    assert ending.again is not None
    return ending.again


def left(ending: Ending) -> PushRequested:
    assert ending.left is not None
    return ending.left


async def test_push_reaches_every_device_of_its_user_and_nobody_elses(system: System) -> None:
    system.devices.owned[BOLD] = [*devices(1, "ios"), *devices(1, "android"), *devices(1, "web")]
    system.devices.owned[SARAA] = devices(2)
    push = push_request(BOLD)

    await system.push(push)

    assert sorted(system.fcm.tokens) == sorted(device.token for device in system.devices.owned[BOLD])
    assert system.outcomes.ends == [
        PushSent(push_id=push.push_id, source_id=push.source_id, user_id=BOLD, sent=3, dead=0)
    ]


async def test_devices_of_a_whole_batch_are_looked_up_in_one_call(system: System) -> None:
    system.devices.owned[BOLD] = devices(1)
    system.devices.owned[SARAA] = devices(1)

    await system.push(push_request(BOLD), push_request(SARAA), push_request(BOLD))

    assert system.devices.asked == [[BOLD, SARAA]]
    assert len(system.fcm.calls) == 1


async def test_1203_devices_of_one_user_are_reached_once_each_in_three_calls(system: System) -> None:
    system.devices.owned[BOLD] = devices(1203)

    await system.push(push_request())

    assert [len(call) for call in system.fcm.calls] == [500, 500, 203]
    assert sorted(system.fcm.tokens) == sorted(device.token for device in system.devices.owned[BOLD])
    [end] = system.outcomes.ends
    assert isinstance(end, PushSent)
    assert end.sent == 1203


async def test_half_failed_push_comes_back_for_the_failed_only(system: System) -> None:
    system.devices.owned[BOLD] = devices(4)
    failing = system.devices.owned[BOLD][:2]
    for device in failing:
        system.fcm.next_for(device, UNAVAILABLE)

    [first] = await system.push(push_request())
    told_at_first = list(system.outcomes.events)
    system.restarted()
    system.fcm.calls.clear()
    await system.push(left(first))

    assert type(again(first)) is TemporaryFailure
    assert told_at_first == []
    assert system.fcm.tokens == [device.token for device in failing]
    [end] = system.outcomes.ends
    assert isinstance(end, PushSent)
    assert (end.sent, end.dead) == (4, 0)


async def test_what_comes_back_does_not_show_a_token(system: System) -> None:
    system.devices.owned[BOLD] = devices(2)
    system.fcm.next_for(system.devices.owned[BOLD][0], UNAVAILABLE)

    [ending] = await system.push(push_request())

    assert not any(device.token in left(ending).model_dump_json() for device in system.devices.owned[BOLD])


async def test_push_that_reached_nobody_comes_back_whole_for_devices_that_are_new_by_then(system: System) -> None:
    system.devices.owned[BOLD] = devices(1)
    system.fcm.next_for(system.devices.owned[BOLD][0], UNAVAILABLE)
    push = push_request()

    [ending] = await system.push(push)

    assert ending.left is None
    assert again(ending).not_after == push.expires_at


async def test_after_a_hand_over_nothing_for_the_first_user_reaches_the_device_not_even_a_retry(
    system: System,
) -> None:
    shared, kept = devices(2)
    system.devices.owned[BOLD] = [shared, kept]
    system.fcm.next_for(shared, UNAVAILABLE)
    [ending] = await system.push(push_request(BOLD))
    system.devices.hand_over(shared, to=SARAA)
    system.fcm.calls.clear()

    await system.push(left(ending))

    assert system.fcm.tokens == []
    [end] = system.outcomes.ends
    assert isinstance(end, PushSent)
    assert end.sent == 1


async def test_dead_device_is_reported_with_the_time_it_was_looked_up(system: System) -> None:
    before = datetime.now(UTC)
    dead, living = devices(2)
    system.devices.owned[BOLD] = [dead, living]
    system.fcm.next_for(dead, Dead("unregistered"))

    await system.push(push_request())

    [death] = system.outcomes.deaths
    assert (death.token, death.user_id, death.reason) == (dead.token, BOLD, "unregistered")
    assert before <= death.resolved_at <= datetime.now(UTC)
    [end] = system.outcomes.ends
    assert isinstance(end, PushSent)
    assert (end.sent, end.dead) == (1, 1)


async def test_death_is_told_at_once_even_if_another_device_has_to_wait(system: System) -> None:
    dead, failing, _ = system.devices.owned[BOLD] = devices(3)
    system.fcm.next_for(dead, Dead("unregistered"))
    system.fcm.next_for(failing, UNAVAILABLE)

    [ending] = await system.push(push_request())
    assert [death.token for death in system.outcomes.deaths] == [dead.token]
    await system.push(left(ending))

    assert len(system.outcomes.deaths) == 1
    [end] = system.outcomes.ends
    assert isinstance(end, PushSent)
    assert (end.sent, end.dead) == (2, 1)


async def test_payload_fault_fails_the_push_and_deletes_nothing(system: System) -> None:
    system.devices.owned[BOLD] = devices(3)
    for device in system.devices.owned[BOLD]:
        system.fcm.next_for(device, Refused("invalid_argument"))

    [ending] = await system.push(push_request())

    assert ending.again is None
    assert system.outcomes.deaths == []
    [end] = system.outcomes.ends
    assert isinstance(end, PushFailed)
    assert (end.reason, end.sent, end.dead) == ("invalid_argument", 0, 0)


async def test_many_tokens_of_another_project_delete_nothing_and_come_back(system: System) -> None:
    system.devices.owned[BOLD] = devices(5)
    for device in system.devices.owned[BOLD]:
        system.fcm.next_for(device, Dead("sender_id_mismatch"))

    [ending] = await system.push(push_request())

    assert again(ending).reason == "sender_id_mismatch"
    assert system.outcomes.events == []


@pytest.mark.parametrize("dead", [0, 2])
async def test_user_without_a_living_device_ends_as_no_devices(system: System, dead: int) -> None:
    system.devices.owned[BOLD] = devices(dead)
    for device in system.devices.owned[BOLD]:
        system.fcm.next_for(device, Dead("unregistered"))

    await system.push(push_request())

    [end] = system.outcomes.ends
    assert isinstance(end, PushFailed)
    assert (end.reason, end.dead) == ("no_devices", dead)


async def test_expired_push_is_not_sent(system: System) -> None:
    system.devices.owned[BOLD] = devices(1)

    await system.push(push_request(expires_at=datetime.now(UTC)), push_request())

    assert len(system.fcm.tokens) == 1
    [expired] = [end for end in system.outcomes.ends if isinstance(end, PushFailed)]
    assert expired.reason == "expired"


async def test_push_that_expires_after_it_reached_a_device_was_sent(system: System) -> None:
    half = push_request(expires_at=datetime.now(UTC), only=("0" * 24,), sent=1)

    await system.push(half)

    [end] = system.outcomes.ends
    assert isinstance(end, PushSent)
    assert (end.sent, end.reason) == (1, "expired")


async def test_devices_api_away_delays_the_whole_batch_and_loses_nothing(system: System) -> None:
    system.devices.owned[BOLD] = devices(1)
    system.devices.away = 2
    pushes = [push_request(), push_request()]

    for _ in range(2):
        with pytest.raises(Away):
            await system.push(*pushes)
    assert system.fcm.calls == []
    await system.push(*pushes)

    assert len(system.fcm.tokens) == 2
    assert len(system.outcomes.ends) == 2


async def test_what_was_sent_but_not_told_is_told_later_and_not_sent_again(system: System) -> None:
    sent_to, failing = system.devices.owned[BOLD] = devices(2)
    system.fcm.next_for(failing, UNAVAILABLE)
    system.outcomes.away = 2
    push = push_request()

    for _ in range(2):
        with pytest.raises(Away):
            await system.push(push)
    [ending] = await system.push(push)

    assert system.fcm.tokens == [sent_to.token, failing.token]
    assert left(ending).only == (failing.digest,)


async def test_copy_of_an_ended_push_does_not_ring_again_and_tells_the_same_end(system: System) -> None:
    system.devices.owned[BOLD] = devices(2)
    push = push_request()

    await system.push(push)
    await system.push(push)

    assert len(system.fcm.tokens) == 2
    first, second = system.outcomes.events
    assert (first.id, first.data) == (second.id, second.data)


async def test_copy_in_another_process_rings_again_under_the_same_id(system: System) -> None:
    [device] = system.devices.owned[BOLD] = devices(1)
    push = push_request()

    await system.push(push)
    system.restarted()
    await system.push(push)

    assert system.fcm.tokens == [device.token] * 2
    first, second = system.outcomes.events
    assert first.id == second.id


async def test_fault_of_ours_uses_up_no_attempt(system: System) -> None:
    system.devices.owned[BOLD] = devices(1)
    system.fcm.next_for(system.devices.owned[BOLD][0], Untried("credentials_refused", timedelta(seconds=20)))

    [ending] = await system.push(push_request())

    assert isinstance(again(ending), NotNow)
    assert again(ending).retry_in == timedelta(seconds=20)


async def test_the_longest_wait_that_was_asked_for_is_kept(system: System) -> None:
    one, two, three = system.devices.owned[BOLD] = devices(3)
    system.fcm.next_for(one, Passing("unavailable", timedelta(seconds=7)))
    system.fcm.next_for(two, Passing("quota_exceeded", timedelta(minutes=1)))
    system.fcm.next_for(three, Untried("timeout", timedelta(seconds=3)))

    [ending] = await system.push(push_request())

    assert type(again(ending)) is TemporaryFailure
    assert again(ending).retry_in == timedelta(minutes=1)


async def test_lane_that_rests_sends_nothing(system: System) -> None:
    system.devices.owned[BOLD] = devices(1)
    system.lane.rest("unavailable")

    with pytest.raises(Away):
        await system.push(push_request())

    assert system.fcm.calls == []


async def test_after_a_rest_one_message_goes_first(system: System) -> None:
    class ProbedFcm(FakeFcm):
        async def send_each(self, sends: Sequence[Send]) -> list[Fate]:
            system.lane.succeeded()
            return await super().send_each(sends)

    system.fcm = ProbedFcm()
    system.restarted()
    system.devices.owned[BOLD] = devices(10)
    system.lane.rest("unavailable")
    system.now += 5

    await system.push(push_request())

    assert [len(call) for call in system.fcm.calls] == [1, 9]


async def test_used_up_retries_are_told(system: System) -> None:
    nobody, somebody = push_request(), push_request(sent=2, dead=1, only=("0" * 24,))

    for push in (nobody, somebody):
        await system.pushing.give_up(push, event_of(push))

    failed, sent = system.outcomes.ends
    assert isinstance(failed, PushFailed)
    assert isinstance(sent, PushSent)
    assert (failed.reason, sent.reason, sent.sent, sent.dead) == ("retries_exhausted", "retries_exhausted", 2, 1)
