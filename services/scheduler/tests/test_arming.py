"""The newest fact wins: a table of what each fact makes of a timer, without a database."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest
from scheduler.arming import after
from scheduler.testing import TENANT, SettableClock, Stage, cancelled, deleted, ended, issued, paid, signed, told
from scheduler.timers import State, Timer, key_of
from spacehub.errors import PermanentFailure
from spacehub.events import facts
from spacehub.events.facts import Fact

NOW = datetime(2026, 11, 24, 4, 0, tzinfo=UTC)
EARLY, LATE = NOW - timedelta(hours=2), NOW - timedelta(hours=1)
FUTURE = NOW + timedelta(days=1)
DEC, JAN = date(2026, 12, 31), date(2027, 1, 31)
Told = tuple[Fact, datetime | None]


def learned(tellings: Sequence[Told], *, buried: frozenset[UUID] = frozenset()) -> Timer:
    """The timer after these facts, one second of receipt apart."""
    key = key_of(tellings[0][0])
    assert key is not None
    timer = Timer(key)
    for second, (fact, time) in enumerate(tellings):
        timer = after(told(fact, time=time), timer, now=NOW + timedelta(seconds=second), buried=buried)
    return timer


@pytest.mark.parametrize(
    ("tellings", "deadline"),
    [
        pytest.param([(signed("5", DEC), EARLY), (signed("5", JAN), LATE)], JAN, id="newer after older"),
        pytest.param([(signed("5", JAN), LATE), (signed("5", DEC), EARLY)], JAN, id="older after newer"),
        pytest.param([(signed("5", DEC), LATE), (signed("5", JAN), LATE)], JAN, id="a tie"),
        pytest.param([(signed("5", DEC), None), (signed("5", JAN), None)], JAN, id="by receipt"),
        pytest.param([(signed("5", DEC), LATE), (signed("5", JAN), None)], JAN, id="receipt beats an older time"),
        pytest.param([(signed("5", JAN), None), (signed("5", DEC), LATE)], JAN, id="a time before the receipt"),
        pytest.param([(signed("5", DEC), FUTURE), (signed("5", JAN), None)], JAN, id="receipt beats the future"),
        pytest.param([(ended("5"), EARLY), (signed("5", JAN), LATE)], JAN, id="signed newer than ended"),
        pytest.param([(ended("5"), LATE), (signed("5", JAN), EARLY)], None, id="signed older than ended"),
        pytest.param([(signed("5", JAN), LATE), (ended("5"), EARLY)], JAN, id="ended older than signed"),
        pytest.param([(signed("5", JAN), EARLY), (ended("5"), LATE)], None, id="ended newer than signed"),
        pytest.param([(signed("5", JAN), LATE), (ended("5"), LATE)], None, id="ended at a tie, later"),
        pytest.param([(ended("5"), LATE), (signed("5", JAN), LATE)], JAN, id="signed at a tie, later"),
        pytest.param([(issued("A", DEC), EARLY), (issued("A", JAN), LATE)], JAN, id="bill moved"),
        pytest.param([(issued("A", JAN), LATE), (issued("A", DEC), EARLY)], JAN, id="bill moved, out of order"),
        pytest.param([(issued("A", JAN), LATE), (paid("A"), EARLY)], None, id="payment older than its bill"),
        pytest.param([(paid("A"), EARLY), (issued("A", JAN), LATE)], None, id="payment before its bill"),
        pytest.param([(cancelled("A"), EARLY), (issued("A", JAN), FUTURE)], None, id="cancelled before its bill"),
    ],
)
def test_newest_fact_decides(tellings: Sequence[Told], deadline: date | None) -> None:
    timer = learned(tellings)

    assert timer.deadline == deadline
    assert timer.state is (State.CLOSED if deadline is None else State.ARMED)


@pytest.mark.parametrize("closing", [paid("A"), cancelled("A"), ended("A")])
def test_timer_at_rest_knows_nobody(closing: Fact) -> None:
    opening = signed("A", JAN) if isinstance(closing, facts.ContractEnded) else issued("A", JAN)
    assert learned([(opening, EARLY)]).data is not None

    timer = learned([(opening, EARLY), (closing, LATE)])

    assert (timer.user_id, timer.data, timer.due_at, timer.deadline) == (None, None, None, None)


def test_armed_timer_is_shown_without_whom_it_is_for() -> None:
    assert "9911" not in repr(learned([(issued("A", JAN), None)]))


def test_newest_fact_of_a_deleted_user_disarms_what_another_user_had() -> None:
    other = UUID("0b8f5f0e-6f1d-4c0a-9a53-2f0c7f9d1a02")

    timer = learned([(signed("5", DEC, user=other), EARLY), (signed("5", JAN), LATE)], buried=frozenset({TENANT}))

    assert timer.state is State.VOID


async def test_event_that_says_nothing_about_time_is_refused_and_nothing_of_its_batch_is_learned(
    stage: Stage, clock: SettableClock
) -> None:
    stranger = facts.UserUpdated(user_id=TENANT)

    with pytest.raises(PermanentFailure, match="does not belong here"):
        await stage.learn(issued("A", DEC), stranger)

    assert await stage.timers() == {}


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00+08:00", "9999-12-31T23:59:59-08:00"])
async def test_time_beyond_the_calendar_is_refused(stage: Stage, time: str) -> None:
    with pytest.raises(PermanentFailure, match="time: beyond the calendar"):
        await stage.learn(told(signed("5", DEC), time=datetime.fromisoformat(time)))

    assert await stage.timers() == {}


async def test_deleted_user_leaves_no_trace_in_the_timers(stage: Stage) -> None:
    await stage.learn(issued("A", DEC), signed("5", JAN))

    await stage.learn(deleted(TENANT))

    assert await stage.timers() == {"bill:A": "void", "contract:5": "void"}
    assert (await stage.fire()).next_at is None
