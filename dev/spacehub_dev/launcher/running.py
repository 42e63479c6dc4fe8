"""`make run` and `make demo`: boot the system, then keep it running until Ctrl-C, or tell it the demo's story."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

from spacehub_dev.demo.playing import play
from spacehub_dev.launcher.interrupting import run_until_interrupted
from spacehub_dev.launcher.locking import AlreadyRunning
from spacehub_dev.launcher.parts import whole_system
from spacehub_dev.launcher.processes import Plan, Surroundings
from spacehub_dev.launcher.showing import show
from spacehub_dev.launcher.starting import SystemFailed
from spacehub_dev.launcher.system import running_system
from spacehub_dev.provisioning.servers import ServerUnavailable

ROOT = Path(__file__).resolve().parents[3]
DIRECTORY = ROOT / ".run"


def run(directory: Path = DIRECTORY, *, make_plan: Callable[[Surroundings], Plan] = whole_system) -> int:
    """Keep a system running in `directory`; the exit code is 0 after Ctrl-C or SIGTERM, 1 when it did not come up."""
    return run_until_interrupted(_keep_running(directory, make_plan), interrupted=0)


def demo(directory: Path = DIRECTORY / "demo") -> int:
    """Boot an empty system, publish the sample events, print what arrived; 0 when all did. It may run beside `run`."""
    return run_until_interrupted(_demonstrate(directory), interrupted=130)


async def _keep_running(directory: Path, make_plan: Callable[[Surroundings], Plan]) -> int:
    try:
        async with running_system(directory, report=say, make_plan=make_plan) as system:
            show(system)
            print("ready", flush=True)
            await asyncio.wait(system.keepers, return_when=asyncio.FIRST_COMPLETED)
            raise SystemFailed("the supervision ended by itself; this is a fault of the launcher")
    except* (AlreadyRunning, ServerUnavailable, SystemFailed) as failures:
        _explain(failures)
    return 1


async def _demonstrate(directory: Path) -> int:
    code = 1
    try:
        anyhour = {**os.environ, "QUIET_HOURS": "off", "RATE_LIMIT": "off"}
        async with running_system(directory, report=say, label="demo", keep_data=False, environment=anyhour) as system:
            code = await play(system.endpoints.content(), system.directory)
    except* (AlreadyRunning, ServerUnavailable, SystemFailed) as failures:
        _explain(failures)
        code = 1
    return code


def _explain(failures: BaseExceptionGroup[Exception]) -> None:
    for failure in failures.exceptions:
        if isinstance(failure, ExceptionGroup):
            _explain(failure)
        else:
            say(f"the system did not come up: {failure}")


def say(text: str) -> None:
    """Progress, a line at a time, seen at once also through a pipe."""
    print(f"launcher: {text}", flush=True)
