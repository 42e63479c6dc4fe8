"""Starts processes and waits until each is ready; one that will not come up is told with the end of its log."""

import asyncio
import time
from collections.abc import Mapping

import httpx

from spacehub_dev.launcher.supervising import LOOK, Backoff, ending, until
from spacehub_dev.provisioning.program import Program
from spacehub_dev.provisioning.servers import Report

READY_SECONDS = 90.0
DEATHS_AT_START = 3
"""A process that ended so often before all were ready will not come up."""


class SystemFailed(Exception):
    """The system did not come up. The text says which part, with the end of its log."""


async def run_once(program: Program, *, report: Report) -> None:
    """Run `program` to its end. Raises SystemFailed when it fails."""
    began = time.monotonic()
    program.start()
    try:
        await until(lambda: not program.alive())
    finally:
        program.kill()
    if program.exit_code != 0:
        raise SystemFailed(_obituary(program))
    report(f"{program.name}: done after {time.monotonic() - began:.1f} s")


async def start_until_ready(
    programs: Mapping[str, Program], ready_urls: Mapping[str, str | None], *, report: Report
) -> None:
    """Start all of `programs` and return when each page in `ready_urls` answers 200 (no page: when it runs).

    Raises SystemFailed for one that keeps ending or is not ready in time.
    """
    for program in programs.values():
        program.start()
    report(f"{len(programs)} processes started, waiting until all are ready")
    starts = [_start_one(program, ready_urls[name], report) for name, program in programs.items()]
    async with asyncio.TaskGroup() as group:
        for start in starts:
            group.create_task(start)


async def _start_one(program: Program, ready_url: str | None, report: Report) -> None:
    backoff = Backoff()
    deadline = time.monotonic() + READY_SECONDS
    deaths = 0
    async with httpx.AsyncClient(timeout=5, trust_env=False) as client:
        while not await _is_ready(client, program, ready_url):
            if not program.alive():
                deaths += 1
                report(_obituary(program))
                if deaths >= DEATHS_AT_START:
                    raise SystemFailed(f"{program.name} does not stay up; its log: {program.log}")
                await asyncio.sleep(backoff.next_wait())
                program.start()
            if time.monotonic() > deadline:
                raise SystemFailed(f"{program.name} is not ready after {READY_SECONDS:.0f} s:\n{program.last_lines()}")
            await asyncio.sleep(LOOK)
    report(f"{program.name}: ready")


async def _is_ready(client: httpx.AsyncClient, program: Program, ready_url: str | None) -> bool:
    if not program.alive():
        return False
    if ready_url is None:
        return True
    try:
        return (await client.get(ready_url)).status_code == 200
    except httpx.HTTPError:
        return False


def _obituary(program: Program) -> str:
    return f"{program.name} ended ({ending(program.exit_code)}); the end of {program.log}:\n{program.last_lines()}"
