"""One system a directory: a second launcher is told so and changes nothing."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from spacehub_dev.launcher import endpoints


class AlreadyRunning(Exception):
    """A launcher is running in this directory. The text says which, and what to do."""


@contextmanager
def only_launcher(directory: Path) -> Iterator[None]:
    """Hold the directory while the block runs; the kernel lets go of it if we are killed. Raises AlreadyRunning."""
    with (directory / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            pid = lock.read().strip() or "unknown"
            raise AlreadyRunning(
                f"a system is already running here: launcher pid {pid}, endpoints in {endpoints.path_in(directory)}.\n"
                f"Use that one, or stop it with Ctrl-C in its terminal (or: kill {pid})."
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield
