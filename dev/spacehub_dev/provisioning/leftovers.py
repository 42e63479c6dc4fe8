"""Remembers on disk which processes a directory's system started, so that a later run can end exactly those.

A process is recognised by its pid, its start time and a mark in its environment; a stranger that was given the same
pid has another start time and no mark, and is left alone.
"""

import json
import signal
import time
from pathlib import Path

import psutil

MARK = "SPACEHUB_DEV_DIRECTORY"


def remember(directory: Path, name: str, pid: int) -> None:
    """Note that process `pid`, started with `MARK` set to `directory`, belongs to the system in `directory`."""
    try:
        started = psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        return
    path = _notes(directory) / f"{name.replace(' ', '-')}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"name": name, "pid": pid, "started": started}))


def forget(directory: Path, name: str) -> None:
    """The process called `name` has ended."""
    (_notes(directory) / f"{name.replace(' ', '-')}.json").unlink(missing_ok=True)


def end_leftovers(directory: Path) -> list[str]:
    """Kill what an earlier run in `directory` left running, and their children; returns the names of those killed."""
    ended = []
    for path in sorted(_notes(directory).glob("*.json")):
        note = json.loads(path.read_text() or "{}")
        if note and (process := _still_ours(directory, note["pid"], note["started"])):
            kill_tree(process)
            ended.append(note["name"])
        path.unlink(missing_ok=True)
    return ended


def kill_tree(process: psutil.Process) -> None:
    """SIGKILL for `process` and everything below it; returns when all are gone (at most 10 s)."""
    tree = family(process)
    for member in tree:
        send(member, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while any(_running(member) for member in tree) and time.monotonic() < deadline:
        time.sleep(0.005)


def family(process: psutil.Process) -> list[psutil.Process]:
    """`process` first, then all its descendants; empty when it is gone."""
    try:
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def send(process: psutil.Process, number: signal.Signals) -> None:
    """Send a signal to a process that may be gone already."""
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return


def _running(process: psutil.Process) -> bool:
    """A zombie has ended: it only waits for its parent to take note."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _still_ours(directory: Path, pid: int, started: float) -> psutil.Process | None:
    try:
        process = psutil.Process(pid)
        same_start = abs(process.create_time() - started) < 2  # the clock's own corrections move it a little
        if same_start and process.environ().get(MARK) == str(directory):
            return process
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return None
    return None


def _notes(directory: Path) -> Path:
    return directory / "started"
