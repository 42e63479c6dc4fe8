"""`make clean`: removes what the set-up, the launcher and the tools made, unless a launcher is still running."""

from __future__ import annotations

import fcntl
import shutil
import sys
from pathlib import Path

from spacehub_dev.provisioning.accounts import elsewhere

ROOT = Path(__file__).resolve().parent.parent
CACHES = (".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis", ".import_linter_cache")


def main() -> int:
    """Remove everything that can be made again; the exit code is 1 when a running system forbids it."""
    for lock in [*ROOT.glob(".run/lock"), *ROOT.glob(".run/*/lock")]:
        with lock.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print(
                    f"the system in {lock.parent} is running: stop it first (Ctrl-C in its terminal)", file=sys.stderr
                )
                return 1
    for directory in (ROOT / ".run", ROOT / ".run" / "demo"):
        shutil.rmtree(elsewhere(directory), ignore_errors=True)
    for name in (".venv", ".venv-tools", ".run", *CACHES):
        shutil.rmtree(ROOT / name, ignore_errors=True)
    for cache in ROOT.rglob("__pycache__"):
        shutil.rmtree(cache, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
