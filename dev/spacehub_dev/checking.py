"""`make check`: formatter, linter, strict types, floors, manifests; all run, then any failure fails the whole."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent


def commands(root: Path = ROOT) -> dict[str, list[str]]:
    """What is checked, by name. Each member is type-checked alone: several have a package called `tests`."""
    members = sorted(path.parent.relative_to(root) for path in root.glob("*/pyproject.toml"))
    members += sorted(path.parent.relative_to(root) for path in root.glob("services/*/pyproject.toml"))
    across = [name for name in ("tests", "bench", "conftest.py") if _has_python(root / name)]
    types = {f"types of {member}": [str(BIN / "mypy"), str(member)] for member in members}
    if across:
        types["types across services"] = [str(BIN / "mypy"), *across]
    return {
        "format": [str(BIN / "ruff"), "format", "--check", "--quiet"],
        "lint": [str(BIN / "ruff"), "check", "--quiet"],
        **types,
        "floors": [str(BIN / "python"), "-m", "pytest", "-q", "tests/test_floors.py"],
        "manifests": [str(BIN / "spacehub-dev"), "manifests"],
    }


def check() -> int:
    """Run every check, show the output of those that fail; the exit code is 0 when all hold."""
    failed = []
    for name, command in commands().items():
        print(f"{name:.<40} ", end="", flush=True)
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        print("ok" if done.returncode == 0 else "FAILED", flush=True)
        if done.returncode != 0:
            failed.append(name)
            print(done.stdout + done.stderr, flush=True)
    if failed:
        print(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


def _has_python(path: Path) -> bool:
    return path.is_file() or any(path.rglob("*.py"))
