"""A task that rests in quiet hours."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime

import pytest
from prometheus_client import REGISTRY
from spacehub.consuming.nightly_rest import by_day
from spacehub.quiet_hours import ULAANBAATAR, parse
from spacehub.testing.waiting import eventually

WINDOW = parse("22:00-08:00")
QUEUE = "sms-sender.standard"


class Day:
    """A clock that the test moves, and a task that says whether it runs."""

    def __init__(self) -> None:
        self.at("12:00")
        self.running = False
        self.starts = 0

    def at(self, time: str) -> None:
        self.now = datetime.fromisoformat(f"2026-11-23T{time}").replace(tzinfo=ULAANBAATAR)

    async def task(self, stopping: asyncio.Event) -> None:
        self.running = True
        self.starts += 1
        await stopping.wait()
        self.running = False


@pytest.fixture
async def day() -> AsyncIterator[Day]:
    day = Day()
    stopping = asyncio.Event()
    running = asyncio.ensure_future(by_day(day.task, WINDOW, queue=QUEUE, clock=lambda: day.now, look=0.01)(stopping))
    yield day
    stopping.set()
    await asyncio.wait_for(running, 5)
    assert not day.running


async def test_it_runs_by_day(day: Day) -> None:
    await eventually(lambda: day.running)


async def test_it_rests_at_night_and_gets_up_in_the_morning(day: Day) -> None:
    await eventually(lambda: day.running)

    day.at("22:00")
    await eventually(lambda: not day.running)
    day.at("08:00")
    await eventually(lambda: day.running)

    assert day.starts == 2


async def test_it_does_not_begin_at_night() -> None:
    day = Day()
    day.at("23:00")
    stopping = asyncio.Event()
    running = asyncio.ensure_future(by_day(day.task, WINDOW, queue=QUEUE, clock=lambda: day.now, look=0.01)(stopping))
    for _ in range(20):
        await asyncio.sleep(0)

    stopping.set()
    await asyncio.wait_for(running, 5)

    assert day.starts == 0


async def test_it_says_whether_it_rests(day: Day) -> None:
    await eventually(lambda: told() == 0)

    day.at("22:00")
    await eventually(lambda: told() == 1)
    day.at("08:00")
    await eventually(lambda: told() == 0)

    await eventually(lambda: day.running)


async def test_fault_of_the_task_is_not_swallowed() -> None:
    async def breaks(_: asyncio.Event) -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        await by_day(breaks, WINDOW, queue=QUEUE, clock=lambda: datetime(2026, 11, 23, 12, tzinfo=ULAANBAATAR))(
            asyncio.Event()
        )


async def test_without_a_window_it_is_the_task_itself() -> None:
    day = Day()

    assert by_day(day.task, None, queue=QUEUE) == day.task


def told() -> float | None:
    return REGISTRY.get_sample_value("spacehub_resting_in_quiet_hours", {"queue": QUEUE})
