"""Development secrets: made at random once, kept with the directory's data, readable by their owner only."""

import secrets
from pathlib import Path


def kept_secret(directory: Path, name: str) -> str:
    """The secret called `name`, the same in every run until the directory is removed."""
    path = directory / "secrets" / name
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(secrets.token_hex(16))
    return path.read_text()
