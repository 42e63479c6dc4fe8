"""Long tasks live as long as their process, whatever ends them, and end in good order when it is told to stop."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import structlog
from prometheus_client import REGISTRY
from spacehub import running
from spacehub.running import Backoff, Task, happens, supervise
from spacehub.testing.programs import program
from spacehub.testing.waiting import eventually


class Flawed:
    """A long task that ends early, in the same way each time, until the third time, when it runs as it should."""

    def __init__(self, ending: Callable[[], Awaitable[None]]) -> None:
        self.starts = 0
        self._ending = ending

    async def __call__(self, stopping: asyncio.Event) -> None:
        self.starts += 1
        if self.starts < 3:
            await self._ending()
        else:
            await stopping.wait()


async def returns() -> None:
    pass


async def raises() -> None:
    raise KeyError("nobody foresaw")


async def is_cancelled_by_a_library() -> None:
    raise asyncio.CancelledError


async def is_cancelled_from_within() -> None:
    future = asyncio.get_running_loop().create_future()
    future.cancel()
    await future


@pytest.mark.parametrize(
    ("ending", "told"),
    [
        (returns, "task_ended"),
        (raises, "task_failed"),
        (is_cancelled_by_a_library, "task_cancelled"),
        (is_cancelled_from_within, "task_cancelled"),
    ],
)
async def test_task_that_ends_is_started_again(ending: Callable[[], Awaitable[None]], told: str) -> None:
    stopping, task = asyncio.Event(), Flawed(ending)

    with structlog.testing.capture_logs() as logs:
        supervised = asyncio.ensure_future(supervise(f"flawed {told}", task, stopping))
        await eventually(lambda: task.starts == 3)
        alive = REGISTRY.get_sample_value("spacehub_task_running", {"task": f"flawed {told}"})
        stopping.set()
        await supervised

    assert task.starts == 3
    assert alive == 1
    assert [line["event"] for line in logs] == [told, told]


async def test_restarts_are_counted() -> None:
    stopping, task = asyncio.Event(), Flawed(returns)

    supervised = asyncio.ensure_future(supervise("counted", task, stopping))
    await eventually(lambda: task.starts == 3)
    stopping.set()
    await supervised

    assert REGISTRY.get_sample_value("spacehub_task_restarts_total", {"task": "counted"}) == 2
    assert REGISTRY.get_sample_value("spacehub_task_running", {"task": "counted"}) == 0


async def test_task_that_is_really_cancelled_ends() -> None:
    stopping, task = asyncio.Event(), Flawed(asyncio.Event().wait)  # type: ignore[arg-type]  # it never returns

    supervised = asyncio.ensure_future(supervise("cancelled", task, stopping))
    await eventually(lambda: task.starts)
    supervised.cancel()

    with pytest.raises(asyncio.CancelledError):
        await supervised
    assert task.starts == 1


async def test_nothing_is_started_again_once_told_to_stop() -> None:
    stopping, starts = asyncio.Event(), list[int]()

    async def fails_at_the_end(stopping: asyncio.Event) -> None:
        starts.append(1)
        await stopping.wait()
        raise KeyError("at the end")

    supervised = asyncio.ensure_future(supervise("last", fails_at_the_end, stopping))
    await eventually(lambda: starts)
    stopping.set()
    await supervised

    assert len(starts) == 1


async def in_process(tasks: dict[str, Task], *, drain: float, number: signal.Signals = signal.SIGTERM) -> None:
    """Run `tasks` as a process does, and send it a signal once they run."""
    loop, begun = asyncio.get_running_loop(), asyncio.Event()
    before = {each: signal.signal(each, signal.SIG_IGN) for each in (signal.SIGTERM, signal.SIGINT)}

    async def first(stopping: asyncio.Event) -> None:
        begun.set()
        await stopping.wait()

    process = asyncio.ensure_future(running.run({**tasks, "first": first}, drain=drain))
    try:
        await begun.wait()
        os.kill(os.getpid(), number)
        async with asyncio.timeout(20):
            await process
    finally:
        for each, handler in before.items():
            loop.remove_signal_handler(each)
            signal.signal(each, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_signal_lets_work_in_hand_finish(number: signal.Signals) -> None:
    done: list[str] = []

    async def slow(stopping: asyncio.Event) -> None:
        await stopping.wait()
        for _ in range(50):
            await asyncio.sleep(0.001)
        done.append("finished")

    await in_process({"slow": slow}, drain=15, number=number)

    assert done == ["finished"]


async def test_what_does_not_finish_in_time_is_cancelled() -> None:
    ends: list[str] = []

    async def stuck(stopping: asyncio.Event) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ends.append("cancelled")
            raise

    with structlog.testing.capture_logs() as logs:
        await in_process({"stuck": stuck}, drain=0.05)

    assert ends == ["cancelled"]
    assert [line["task"] for line in logs if line["event"] == "drain_too_long"] == ["stuck"]


async def test_failing_task_does_not_disturb_the_others() -> None:
    ticks: list[int] = []

    async def ticking(stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            ticks.append(1)
            await happens(stopping, within=0.01)

    task = Flawed(raises)
    stopping = asyncio.Event()
    both = [asyncio.ensure_future(supervise(name, one, stopping)) for name, one in (("a", task), ("b", ticking))]
    await eventually(lambda: task.starts == 3)
    before = len(ticks)
    await eventually(lambda: len(ticks) > before)
    stopping.set()
    await asyncio.gather(*both)

    assert REGISTRY.get_sample_value("spacehub_task_restarts_total", {"task": "b"}) in (None, 0)


def test_waits_double_up_to_the_longest_and_start_again_after_success() -> None:
    waits: list[float] = []

    class Clockless(Backoff):
        async def wait(self, stopping: asyncio.Event) -> None:
            waits.append(self._next)
            stopping.set()
            await super().wait(stopping)

    async def play() -> None:
        backoff = Clockless(first=1, longest=5)
        for _ in range(5):
            await backoff.wait(asyncio.Event())
        backoff.reset()
        await backoff.wait(asyncio.Event())

    asyncio.run(play())

    assert waits == [1, 2, 4, 5, 5, 1]


async def test_waiting_ends_early_when_told_to_stop() -> None:
    stopping = asyncio.Event()

    waiting = asyncio.ensure_future(Backoff(first=3600).wait(stopping))
    await asyncio.sleep(0)
    stopping.set()
    async with asyncio.timeout(10):
        await waiting

    assert waiting.done()


async def test_process_ends_with_zero_after_a_signal(tmp_path: Path) -> None:
    script = tmp_path / "process.py"
    script.write_text(
        "import asyncio\n"
        "from spacehub import running\n"
        "async def task(stopping):\n"
        "    print('begun', flush=True)\n"
        "    await stopping.wait()\n"
        "asyncio.run(running.run({'task': task}))\n"
    )

    async with program(script) as process:
        await process.says("begun")
        process.signal(signal.SIGTERM)
        code = await process.ends()

    assert code == 0


def test_garbage_in_circles_is_still_found_by_itself() -> None:
    program = """
import weakref
from spacehub.running import collect_less_often

class Circle:
    def __init__(self):
        self.itself = self

collect_less_often()
found = weakref.ref(Circle())
kept = []
while found() is not None and len(kept) < 1_000_000:
    kept.append([])
print(found() is None)
"""

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "True"
