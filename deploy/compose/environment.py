"""Writes `.env` for docker-compose.yml unless there is one: `.env.example`, with random values for what is empty."""

import os
import re
import secrets
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
EMPTY = re.compile(r"^([A-Z_]+)=$", re.MULTILINE)


def filled(example: str) -> str:
    """`example` with 48 random hexadecimal digits behind every variable that has no value."""
    return EMPTY.sub(lambda found: f"{found[1]}={secrets.token_hex(24)}", example)


def main() -> None:
    """Write the file, readable by its owner only; one that is there stays as it is."""
    text = filled((ROOT / ".env.example").read_text(encoding="utf-8"))
    try:
        file = os.open(ROOT / ".env", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return
    with os.fdopen(file, "w", encoding="utf-8") as env:
        env.write(text)
    sys.stdout.write("wrote .env: a development system with simulators and random secrets\n")


if __name__ == "__main__":
    main()
