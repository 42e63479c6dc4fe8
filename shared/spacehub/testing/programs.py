"""Programs that tests start, watch by their lines, signal and kill."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from spacehub.testing.waiting import eventually


class RunningProgram:
    """One started program; `lines` is what it has printed so far, errors included."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.lines: list[str] = []
        self._reading = asyncio.create_task(self._read())

    async def says(self, line: str) -> None:
        """Wait until it has printed a line that holds `line`."""
        await eventually(
            lambda: any(line in printed for printed in self.lines) or self._process.returncode is not None,
            because=f"{line!r} was not said",
        )
        if not any(line in printed for printed in self.lines):
            await self._reading
            assert any(line in printed for printed in self.lines), "\n".join(self.lines)

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    async def ends(self) -> int:
        """Wait for its end; the exit code, negative for a signal."""
        async with asyncio.timeout(30):
            code = await self._process.wait()
            await self._reading
        return code

    async def kill(self) -> None:
        """End it as a crash would."""
        if self._process.returncode is None:
            self._process.kill()
        await self.ends()

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            self.lines.append(line.decode(errors="replace").rstrip())


@asynccontextmanager
async def program(script: Path, *arguments: str) -> AsyncIterator[RunningProgram]:
    """A Python script at work, killed at the end of the block if it still runs then."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(script), *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    running = RunningProgram(process)
    try:
        yield running
    finally:
        await running.kill()
