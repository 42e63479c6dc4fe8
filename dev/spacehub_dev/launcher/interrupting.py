"""Ctrl-C, SIGTERM and a closed terminal end the work in hand in good order; a second one changes nothing."""

import asyncio
import signal
from collections.abc import Coroutine

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run_until_interrupted(work: Coroutine[None, None, int], *, interrupted: int) -> int:
    """The exit code of `work`; `interrupted` when a signal cancelled it, after it has cleaned up."""
    return asyncio.run(_run(work, interrupted))


async def _run(work: Coroutine[None, None, int], interrupted: int) -> int:
    task = asyncio.create_task(work)
    asked = asyncio.Event()

    def ask() -> None:
        if not asked.is_set():
            asked.set()
            task.cancel()

    for number in SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, ask)
    try:
        return await task
    except asyncio.CancelledError:
        return interrupted
