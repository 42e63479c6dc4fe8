"""A program of ours: started on a leash, its output in a log file, ended as a whole family."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from spacehub_dev.provisioning import leftovers

LEASH = Path(__file__).with_name("leash.py")
NICENESS = 5
"""Of a program that gives way: where cores are few it gets a third of what another gets, and all that nobody wants. Not
less: on a machine that others keep busy too, it gives way to them as well."""
_spawner = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spawner")
"""The leash ends a program when the *thread* that started it ends; this one lives as long as the interpreter."""


class ProgramFailed(Exception):
    """A program ended, or was not ready in time. The text holds the end of its log."""


@dataclass
class Program:
    """One program that can be started any number of times; `directory` is the system it belongs to.

    `gives_way`: other programs go first where there are too few cores for all.
    """

    name: str
    command: Sequence[str]
    directory: Path
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    user: str | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    death_signal: signal.Signals = signal.SIGKILL
    cwd: Path = Path("/")
    gives_way: bool = False
    _process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and return at once; an earlier log is kept as `<log>.1`."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        if self.log.exists():
            self.log.replace(self.log.with_name(self.log.name + ".1"))
        self._process = _spawner.submit(self._spawn).result()
        leftovers.remember(self.directory, self.name, self._process.pid)

    @property
    def pid(self) -> int | None:
        """The process's id while it is alive."""
        return self._process.pid if self._process is not None and self.alive() else None

    @property
    def exit_code(self) -> int | None:
        """How it ended; negative for a signal, None while it runs or before its first start."""
        return None if self._process is None else self._process.poll()

    def alive(self) -> bool:
        """Whether it has been started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """SIGKILL for it and its children; returns when they are gone."""
        if (process := self._process) is not None:
            if process.poll() is None:
                leftovers.kill_tree(psutil.Process(process.pid))
            self._ended(process)

    def terminate(self) -> None:
        """Ask it to stop, without waiting."""
        for member in self._family():
            leftovers.send(member, signal.SIGCONT)
        if self._process is not None and self.alive():
            self._process.send_signal(self.stop_signal)

    def stop(self, *, patience: float = 20) -> None:
        """Ask it to stop and wait `patience` seconds; what is left then is killed."""
        self.terminate()
        if (process := self._process) is not None:
            try:
                process.wait(patience)
            except subprocess.TimeoutExpired:
                leftovers.kill_tree(psutil.Process(process.pid))
            self._ended(process)

    def suspend(self) -> None:
        """Freeze it and its children (SIGSTOP), as a machine that stalls."""
        for member in self._family():
            leftovers.send(member, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on after `suspend`."""
        for member in self._family():
            leftovers.send(member, signal.SIGCONT)

    def last_lines(self, count: int = 15) -> str:
        """The end of its log."""
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-count:])

    def _family(self) -> list[psutil.Process]:
        try:
            return leftovers.family(psutil.Process(self.pid)) if self.pid is not None else []
        except psutil.NoSuchProcess:
            return []

    def _ended(self, process: subprocess.Popen[bytes]) -> None:
        process.wait(10)
        leftovers.forget(self.directory, self.name)

    def _spawn(self) -> subprocess.Popen[bytes]:
        leash = [sys.executable, "-I", "-S", str(LEASH), str(int(self.death_signal)), str(os.getpid())]
        mark = {leftovers.MARK: str(self.directory)}
        with self.log.open("wb") as log:
            return subprocess.Popen(
                [*leash, self.user or "-", str(NICENESS if self.gives_way else 0), *self.command],
                env={**self.environment, **mark},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd=self.cwd,
            )
