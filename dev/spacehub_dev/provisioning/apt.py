"""Installs Debian packages as root or through sudo, without letting their servers start by themselves.

Run as a program (by `install`, as root) it does the work; it imports the standard library only, because the
bootstrap uses it before any package is there.
"""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

POLICY = Path("/usr/sbin/policy-rc.d")
TURN = Path("/run/lock/spacehub-apt")
MARK = "# written by spacehub for the time of one installation"


class AptUnavailable(Exception):
    """Packages cannot be installed here: no apt, no root or sudo, or the installation failed. The text says which."""


def install(*packages: str, report: Callable[[str], None]) -> None:
    """Install `packages`; their progress goes to `report` line by line. Raises AptUnavailable."""
    if shutil.which("apt-get") is None:
        raise AptUnavailable("there is no apt-get on this machine")
    command = [*_as_root(), sys.executable, "-I", str(Path(__file__).resolve()), *packages]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line.rstrip())
            if line.startswith(("Get:", "Unpacking", "Setting up", "E:")):
                report("  " + line.strip()[:100])
    if process.returncode != 0:
        last = lines[-1] if lines else "no output"
        raise AptUnavailable(f"apt-get install {' '.join(packages)} failed: {last}")


def _as_root() -> list[str]:
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo") is None:
        raise AptUnavailable("installing packages needs root, and there is no sudo")
    if sys.stdin.isatty():
        return ["sudo"]
    if subprocess.run(["sudo", "-n", "true"], capture_output=True).returncode != 0:
        raise AptUnavailable("installing packages needs root, and sudo asks for a password")
    return ["sudo", "-n"]


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Wait for another set-up's installation to end, so that neither takes the other's policy-rc.d away."""
    with TURN.open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        yield


@contextmanager
def servers_stay_down(policy: Path = POLICY) -> Iterator[None]:
    """While this lasts, no package starts a service: Debian's policy-rc.d says no (invoke-rc.d(8)).

    The file asks whether this very process still lives, so that one left behind by kill -9 forbids nothing; a policy
    that was there before is set aside and comes back.
    """
    saved = policy.with_name(policy.name + ".before-spacehub")
    _restore(policy, saved)
    if policy.exists():
        policy.rename(saved)
    started = Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]
    policy.write_text(
        f"#!/bin/sh\n{MARK}\n"
        f'[ "$(sed "s/.*) //" /proc/{os.getpid()}/stat 2>/dev/null | cut -d" " -f20)" = "{started}" ] && exit 101\n'
        f'[ -x {saved} ] && exec {saved} "$@"\n'
        "exit 0\n"
    )
    policy.chmod(0o755)
    try:
        yield
    finally:
        _restore(policy, saved)


def _restore(policy: Path, saved: Path) -> None:
    if policy.is_file() and MARK in policy.read_text(errors="replace"):
        policy.unlink()
    if saved.exists():
        saved.replace(policy)


def _install_as_root(packages: list[str]) -> int:
    def end(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, end)
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    with one_at_a_time(), servers_stay_down():
        subprocess.run(["apt-get", "update", "-q"], env=environment)
        quietly = ["-o", "Dpkg::Use-Pty=0", "-o", "DPkg::Lock::Timeout=300"]
        command = ["apt-get", "install", "-y", "--no-install-recommends", *quietly, *packages]
        return subprocess.run(command, env=environment).returncode


if __name__ == "__main__":
    sys.exit(_install_as_root(sys.argv[1:]))
