"""When a lane rests, and what ends the rest."""

from datetime import timedelta

import pytest
from spacehub.breaker import PROBE_LIMIT, Breaker, State
from spacehub.testing.clock import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker("test", clock=clock)


def fail(breaker: Breaker, times: int) -> None:
    for _ in range(times):
        breaker.failed("timeout")


def test_five_failures_in_ten_seconds_begin_a_rest(breaker: Breaker) -> None:
    fail(breaker, 4)
    assert breaker.admits()

    fail(breaker, 1)

    assert not breaker.admits()
    assert breaker.rest_left == timedelta(seconds=5)
    assert breaker.reason == "timeout"


def test_failures_further_apart_do_not(breaker: Breaker, clock: Clock) -> None:
    for _ in range(20):
        breaker.failed("timeout")
        clock.now += 2.6

    assert breaker.admits()


def test_success_between_failures_forgives_them(breaker: Breaker) -> None:
    for _ in range(10):
        fail(breaker, 4)
        breaker.succeeded()

    assert breaker.admits()


def test_one_probe_goes_out_when_the_rest_is_over(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 5)
    clock.now += 5

    assert breaker.state is State.PROBE_DUE
    assert breaker.admits()
    assert not breaker.admits()


def test_failed_probes_rest_longer_and_longer(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 5)

    rests = []
    for _ in range(6):
        rests.append(breaker.rest_left.total_seconds())
        clock.now += rests[-1]
        assert breaker.admits()
        breaker.failed("timeout")

    assert rests == [5, 10, 20, 40, 60, 60]


def test_probe_that_succeeds_opens_the_lane_and_forgets_how_long_it_rested(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 5)
    clock.now += 5
    breaker.admits()
    breaker.failed("timeout")
    clock.now += 10
    breaker.admits()

    breaker.succeeded()

    assert breaker.state is State.OPEN
    fail(breaker, 5)
    assert breaker.rest_left == timedelta(seconds=5)


def test_probe_that_told_nothing_is_followed_by_another(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 5)
    clock.now += 5
    breaker.admits()

    breaker.undecided()

    assert breaker.admits()


def test_probe_whose_end_nobody_tells_does_not_hold_the_lane_for_ever(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 5)
    clock.now += 5
    breaker.admits()

    clock.now += PROBE_LIMIT

    assert breaker.admits()


def test_fault_of_ours_rests_at_once_and_once_for_all_who_meet_it(breaker: Breaker) -> None:
    for _ in range(100):
        breaker.rest("credentials_refused")

    assert breaker.rest_left == timedelta(seconds=5)
    assert breaker.reason == "credentials_refused"


def test_rest_is_as_long_as_was_asked_for(breaker: Breaker) -> None:
    for _ in range(5):
        breaker.failed("quota_exceeded", retry_in=timedelta(minutes=3))

    assert breaker.rest_left == timedelta(minutes=3)


@pytest.mark.parametrize(("exactly", "longest", "rests"), [(2, None, 2), (90, 30, 30), (None, 3, 3)])
def test_rest_may_be_told_to_the_second_and_be_cut(
    breaker: Breaker, exactly: int | None, longest: int | None, rests: int
) -> None:
    breaker.rest(
        "rate_limited",
        exactly=None if exactly is None else timedelta(seconds=exactly),
        longest=None if longest is None else timedelta(seconds=longest),
    )

    assert breaker.rest_left == timedelta(seconds=rests)


def test_rest_that_was_told_to_the_second_makes_no_later_one_longer(breaker: Breaker, clock: Clock) -> None:
    for _ in range(4):
        breaker.rest("rate_limited", exactly=timedelta(seconds=1))
        clock.now += 1
        assert breaker.admits()

    breaker.rest("rate_limited")

    assert breaker.rest_left == timedelta(seconds=5)


def test_every_rest_is_counted_once(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 20)
    breaker.rest("credentials_refused")
    first = breaker.rests_begun

    clock.now += 5
    breaker.admits()
    breaker.failed("timeout")

    assert (first, breaker.rests_begun) == (1, 2)
