"""Makes `.venv` from the hash-pinned lock; needs nothing but the system's python3, and is instant when nothing changed.

Run by every target of the Makefile: `python3 dev/bootstrap.py`.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
LOCK = ROOT / "requirements.lock"
STAMP = VENV / ".spacehub-stamp"
UNFINISHED = VENV / ".spacehub-unfinished"
LOG = VENV / "setup.log"
OLDEST, TOO_NEW = (3, 11), (3, 14)


def main() -> int:
    """Bring `.venv` up to date; the exit code is 0 when it is usable."""
    if not OLDEST <= sys.version_info[:2] < TOO_NEW:
        return complain(
            f"Python 3.11, 3.12 or 3.13 is needed; {sys.executable} is {sys.version.split()[0]}.\n"
            "Install one of them, or name it: make PYTHON=python3.12 ..."
        )
    with LOCK.open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        fingerprint = fingerprint_of_inputs()
        if STAMP.is_file() and STAMP.read_text() == fingerprint and PYTHON.exists():
            return 0
        started = time.monotonic()
        try:
            make_environment()
            install_packages()
        except subprocess.CalledProcessError as error:
            return complain(f"{error.cmd[0]} ended with code {error.returncode}; the whole log is {LOG}")
        STAMP.write_text(fingerprint)
        UNFINISHED.unlink()
        say(f".venv is ready ({time.monotonic() - started:.0f} s)")
    return 0


def members() -> list[Path]:
    """The workspace's members, in the order in which they are installed."""
    services = sorted(path.parent for path in ROOT.glob("services/*/pyproject.toml"))
    return [ROOT / "shared", *services, ROOT / "dev"]


def fingerprint_of_inputs() -> str:
    """Changes whenever the environment must be made again."""
    digest = hashlib.sha256(f"{sys.version_info[:2]} {ROOT}".encode())
    for path in [LOCK, *(member / "pyproject.toml" for member in members())]:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def make_environment() -> None:
    """Make `.venv` with a working pip; one left half-made by an interrupted set-up is made from nothing."""
    if importlib.util.find_spec("ensurepip") is None:
        install_ensurepip()
    healthy = not UNFINISHED.exists() and python_of_environment() == sys.version_info[:2]
    if not healthy:
        say(f"making .venv with {sys.executable}")
        run([sys.executable, "-m", "venv", "--clear", "--without-pip", str(VENV)])
    UNFINISHED.touch()
    STAMP.unlink(missing_ok=True)
    LOG.write_text("")
    if not (healthy and subprocess.run([PYTHON, "-m", "pip", "--version"], capture_output=True).returncode == 0):
        run([str(PYTHON), "-m", "ensurepip", "--default-pip"])


def python_of_environment() -> tuple[int, int] | None:
    """The version of the Python that `.venv` holds, None when it holds none that runs."""
    question = "import sys; print(*sys.version_info[:2])"
    try:
        answer = subprocess.run([PYTHON, "-c", question], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    major, minor = answer.split()
    return int(major), int(minor)


def install_ensurepip() -> None:
    """Debian's python3 comes without ensurepip: fetch it with apt, or say what is missing."""
    from spacehub_dev.provisioning import apt

    package = f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"
    say(f"this python3 has no ensurepip: installing {package} with apt")
    try:
        apt.install(package, report=say)
    except apt.AptUnavailable as reason:
        raise SystemExit(
            complain(f"python3 cannot make an environment ({reason}).\nInstall {package} and run make again.")
        ) from None
    importlib.invalidate_caches()


def install_packages() -> None:
    """Install the locked packages with their hashes, then the members themselves, editable."""
    count = sum(1 for line in LOCK.read_text().splitlines() if "==" in line)
    say(f"installing {count} locked packages into .venv (a minute or two the first time)")
    pip = [str(PYTHON), "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--progress-bar", "off"]
    run([*pip, "--require-hashes", "-r", str(LOCK)])
    say("installing the workspace's own members")
    editable = [argument for member in members() for argument in ("-e", str(member))]
    run([*pip, "--no-deps", "--no-build-isolation", *editable])


def run(command: list[str]) -> None:
    """Run `command`, showing what it works on and logging all of it; the log's end is shown when it fails."""
    lines: list[str] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            if line.startswith(("Collecting", "Installing", "Building")):
                say("  " + line.partition(" (from")[0].strip()[:100])
    if VENV.is_dir():
        with LOG.open("a") as log:
            log.writelines(lines)
    if process.returncode != 0:
        sys.stderr.writelines(lines[-30:])
        raise subprocess.CalledProcessError(process.returncode, command)


def say(text: str) -> None:
    print(f"set-up: {text}", flush=True)


def complain(text: str) -> int:
    print(f"set-up: {text}", file=sys.stderr, flush=True)
    return 1


if __name__ == "__main__":
    sys.exit(main())
