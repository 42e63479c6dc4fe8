"""What we start dies with us, is ended as a family, and is told from strangers."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from spacehub_dev.launcher.supervising import until
from spacehub_dev.provisioning import leftovers
from spacehub_dev.provisioning.program import NICENESS, Program

SLEEP = ["sleep", "600"]
SESSION_SHARES = Path("/proc/self/autogroup").exists() and bool(Path("/proc/self/autogroup").read_text())


@pytest.fixture
def sleeper(tmp_path: Path) -> Program:
    return Program("sleeper", SLEEP, tmp_path, tmp_path / "logs" / "sleeper.log", {"PATH": os.environ["PATH"]})


async def test_killing_a_program_takes_its_children_along(tmp_path: Path) -> None:
    shell = ["sh", "-c", "sleep 600 & echo $!; wait"]
    parent = Program("parent", shell, tmp_path, tmp_path / "log", {"PATH": os.environ["PATH"]})
    parent.start()
    assert await until(lambda: parent.last_lines().strip().isdigit(), within=10)
    child = psutil.Process(int(parent.last_lines()))

    parent.kill()

    assert parent.exit_code == -signal.SIGKILL
    assert await until(lambda: gone(child), within=10)


@pytest.fixture
def launcher(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """Another process that starts a program and prints its pid."""
    script = (
        "import time\n"
        "from pathlib import Path\n"
        "from spacehub_dev.provisioning.program import Program\n"
        f"program = Program('sleeper', {SLEEP!r}, Path({str(tmp_path)!r}), Path({str(tmp_path / 'log')!r}))\n"
        "program.start()\n"
        "print(program.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


async def test_a_program_dies_when_its_launcher_is_killed(launcher: "subprocess.Popen[str]") -> None:
    assert launcher.stdout is not None
    program = psutil.Process(int(launcher.stdout.readline()))
    assert await until(lambda: program.name() == "sleep", within=10)

    launcher.kill()

    assert await until(lambda: gone(program), within=10)


async def test_a_suspended_program_is_stopped_all_the_same(sleeper: Program) -> None:
    sleeper.start()
    sleeper.suspend()
    assert sleeper.pid is not None
    assert await until(lambda: psutil.Process(sleeper.pid).status() == psutil.STATUS_STOPPED, within=10)

    sleeper.stop()

    assert sleeper.exit_code == -signal.SIGTERM
    assert sleeper.pid is None


async def test_leftovers_are_ended(sleeper: Program, tmp_path: Path) -> None:
    sleeper.start()
    await until(lambda: psutil.Process(sleeper.pid).name() == "sleep", within=10)  # no mark until then

    ended = leftovers.end_leftovers(tmp_path)

    assert ended == ["sleeper"]
    sleeper.stop()
    assert sleeper.exit_code == -signal.SIGKILL


def test_a_stranger_with_a_remembered_pid_is_left_alone(tmp_path: Path) -> None:
    with subprocess.Popen(SLEEP) as stranger:
        leftovers.remember(tmp_path, "postgres", stranger.pid)

        ended = leftovers.end_leftovers(tmp_path)

        assert ended == []
        assert stranger.poll() is None
        stranger.kill()


def test_a_process_of_ours_that_started_at_another_time_is_left_alone(sleeper: Program, tmp_path: Path) -> None:
    sleeper.start()
    note = next((tmp_path / "started").iterdir())
    note.write_text(json.dumps({**json.loads(note.read_text()), "started": 1.0}))

    ended = leftovers.end_leftovers(tmp_path)

    assert ended == []
    assert sleeper.alive()
    sleeper.stop()


async def test_a_program_that_gives_way_has_a_smaller_share_of_the_cores(sleeper: Program, tmp_path: Path) -> None:
    modest = replace(sleeper, name="modest", log=tmp_path / "logs" / "modest.log", gives_way=True)
    for program in (sleeper, modest):
        program.start()
    pids = [program.pid or 0 for program in (sleeper, modest)]

    assert await until(lambda: all(psutil.Process(pid).name() == "sleep" for pid in pids), within=10)
    shares = [share_of(pid) for pid in pids]
    for program in (sleeper, modest):
        program.stop()

    usual = os.getpriority(os.PRIO_PROCESS, 0)
    assert [niceness for niceness, _ in shares] == [usual, usual + NICENESS]
    if SESSION_SHARES:
        assert [of_session for _, of_session in shares] == ["nice 0", f"nice {NICENESS}"]


def share_of(pid: int) -> tuple[int, str]:
    """The niceness of a process, and of its session where the cores are shared between sessions first."""
    session = Path(f"/proc/{pid}/autogroup").read_text().partition(" ")[2].strip() if SESSION_SHARES else ""
    return os.getpriority(os.PRIO_PROCESS, pid), session


def gone(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
