"""The programs that check the manifests, in an environment of their own, made when first needed.

They bring a hundred packages with pins that would bind ours, so they are no part of `.venv`; their lock is
`deploy/k8s/tools.lock`.
"""

import fcntl
import hashlib
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
LOCK = ROOT / "deploy" / "k8s" / "tools.lock"
ENVIRONMENT = ROOT / ".venv-tools"
STAMP = ENVIRONMENT / ".spacehub-stamp"


class ToolsUnavailable(Exception):
    """The locked packages could not be installed; the text is the end of what pip said."""


def tool(name: str) -> str:
    """The path of a program such as `kubectl`. Installs all of them first if need be. Raises ToolsUnavailable."""
    with LOCK.open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two checks at the same time install once
        fingerprint = hashlib.sha256(lock.read() + f"{sys.version_info[:2]} {ENVIRONMENT}".encode()).hexdigest()
        if not (STAMP.is_file() and STAMP.read_text() == fingerprint):
            _install()
            STAMP.write_text(fingerprint)
    return str(ENVIRONMENT / "bin" / name)


def _install() -> None:
    started = time.monotonic()
    print("set-up: installing the tools that check the manifests into .venv-tools (once)", flush=True)
    python = str(ENVIRONMENT / "bin" / "python")
    _run([sys.executable, "-m", "venv", "--clear", "--without-pip", str(ENVIRONMENT)])
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--disable-pip-version-check", "--no-input"]
    _run([*pip, "--progress-bar", "off", "--require-hashes", "--only-binary", ":all:", "--requirement", str(LOCK)])
    print(f"set-up: .venv-tools is ready ({time.monotonic() - started:.0f} s)", flush=True)


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise ToolsUnavailable("\n".join((done.stdout + done.stderr).splitlines()[-15:]))
