"""Packages from npm for tests that need one, installed once into a cache beside the development system."""

import shutil
import subprocess
import tempfile
from pathlib import Path

CACHE = Path(__file__).resolve().parents[3] / ".run" / "npm"


def npm_is_here() -> bool:
    """Whether this machine has node and npm."""
    return shutil.which("node") is not None and shutil.which("npm") is not None


def npm_package(name: str, version: str) -> Path:
    """The `node_modules` folder that holds the package. Raises CalledProcessError when it cannot be had."""
    kept = CACHE / f"{name.replace('/', '+')}@{version}"
    if not kept.is_dir():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE, prefix="installing-") as draft:
            options = ["--no-save", "--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund"]
            command = ["npm", "install", *options, "--prefix", draft, f"{name}@{version}"]
            subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
            _keep(Path(draft) / "node_modules", kept)
    return kept


def _keep(draft: Path, kept: Path) -> None:
    """Put it in place, unless another test run was faster."""
    try:
        draft.rename(kept)
    except OSError:
        if not kept.is_dir():
            raise
