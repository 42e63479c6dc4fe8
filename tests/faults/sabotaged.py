"""Runs a command of ours with a saboteur inside: `python sabotaged.py COMMAND WORDS…`.

At SIGUSR1 every long task of the process gets a CancelledError that nobody asked for, as a stalled broker makes the
AMQP client raise one; at SIGUSR2 a plain error, where what it waits for can carry one.
"""

import asyncio
import runpy
import signal
import sys


class Sabotage(Exception):
    """What a long task never expected."""


class Policy(asyncio.DefaultEventLoopPolicy):
    """Makes event loops in which the signals mean sabotage."""

    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        loop = super().new_event_loop()
        loop.add_signal_handler(signal.SIGUSR1, sabotage, loop, False)
        loop.add_signal_handler(signal.SIGUSR2, sabotage, loop, True)
        return loop


def sabotage(loop: asyncio.AbstractEventLoop, with_error: bool) -> None:
    """End what each long task (those have names of their own) waits for, in a way that it cannot have foreseen."""
    for task in asyncio.all_tasks(loop):
        if not task.get_name().startswith("Task-"):
            end(task, loop, with_error)


def end(task: "asyncio.Task[object]", loop: asyncio.AbstractEventLoop, with_error: bool) -> None:
    """The same for one; a task that is about to go on is caught when it waits again."""
    awaited = getattr(task, "_fut_waiter", None)
    if task.done():
        return
    if awaited is None or awaited.done():
        loop.call_later(0.005, end, task, loop, with_error)
    elif with_error and not isinstance(awaited, asyncio.Task):
        awaited.set_exception(Sabotage())
    else:
        awaited.cancel()


if __name__ == "__main__":
    asyncio.set_event_loop_policy(Policy())
    sys.argv = sys.argv[1:]
    runpy.run_path(sys.argv[0], run_name="__main__")
