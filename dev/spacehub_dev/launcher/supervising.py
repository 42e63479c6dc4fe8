"""Keeps processes and servers running: what ends unasked is started again, after a wait that grows."""

import asyncio
import math
import time
from collections.abc import Callable, Mapping

from spacehub_dev.provisioning.program import Program
from spacehub_dev.provisioning.servers import Report, Server, ServerUnavailable

FIRST_WAIT, LONGEST_WAIT = 0.2, 5.0
STAYED_UP = 10.0
"""Seconds after which a process counts as started well, and its next wait is the first one again."""

LOOK = 0.1
"""Seconds between two looks at a process."""


class Backoff:
    """The waits before starting something again: doubled each time, from the start again after it stayed up."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._wait = FIRST_WAIT
        self._started = clock()

    def started(self) -> None:
        """It was started now."""
        self._started = self._clock()

    def next_wait(self) -> float:
        """Seconds to wait now that it ended."""
        if self._clock() - self._started >= STAYED_UP:
            self._wait = FIRST_WAIT
        wait, self._wait = self._wait, min(self._wait * 2, LONGEST_WAIT)
        return wait


async def until(condition: Callable[[], bool], *, within: float = math.inf) -> bool:
    """Look every LOOK seconds whether `condition` holds (a child's end is no event of the loop); False when late."""
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(LOOK)
    return True


async def keep_program(program: Program, *, restarted: Callable[[], None], report: Report) -> None:
    """Start `program` again whenever it ends; `restarted` is called when its pid has changed. Runs until cancelled."""
    backoff = Backoff()
    while True:
        await until(lambda: not program.alive())
        wait = backoff.next_wait()
        report(f"{program.name} ended ({ending(program.exit_code)}); starting it again in {wait:.1f} s")
        await asyncio.sleep(wait)
        try:
            program.start()
            restarted()
        except OSError as reason:
            report(f"{program.name} cannot be started: {reason}")
        backoff.started()


async def keep_server(name: str, server: Server, *, report: Report) -> None:
    """Start `server` again whenever it ends, on the same port with its data. Runs until cancelled."""
    backoff = Backoff()
    while True:
        if await asyncio.to_thread(server.alive):
            await asyncio.sleep(LOOK)
            continue
        wait = backoff.next_wait()
        report(f"{name} ended; starting it again in {wait:.1f} s")
        await asyncio.sleep(wait)
        try:
            await asyncio.to_thread(server.start)
            report(f"{name} is back (pid {server.pid})")
        except ServerUnavailable as reason:
            report(str(reason))
        backoff.started()


async def stop_programs(programs: Mapping[str, Program], *, patience: float) -> list[str]:
    """SIGTERM for all at once, `patience` seconds to finish, SIGKILL for the rest; returns whom it killed."""
    for program in programs.values():
        program.terminate()
    await until(lambda: not any(program.alive() for program in programs.values()), within=patience)
    late = [name for name, program in programs.items() if program.alive()]
    for program in programs.values():
        program.kill()
    return late


def ending(exit_code: int | None) -> str:
    """An exit code in words."""
    if exit_code is None:
        return "running"
    return f"signal {-exit_code}" if exit_code < 0 else f"exit code {exit_code}"
