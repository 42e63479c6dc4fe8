"""The programs of docs/publishing.md, taken from the page and run as they stand there."""

import asyncio
import os
import re
import sys
from pathlib import Path

from spacehub_dev.testing.npm import npm_package

PAGE = Path(__file__).parents[1] / "docs" / "publishing.md"
PROGRAMS = re.findall(r"^```(python|js)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
"""Each as (language, text), in the order of the page."""


async def run(language: str, text: str, *, url: str, directory: Path) -> tuple[int, str]:
    """Run a program of the page; its exit code and what it said."""
    if language == "js":
        script = directory / "publish.mjs"
        (directory / "node_modules").symlink_to(await asyncio.to_thread(npm_package, "amqplib", "2.3.1"))
    else:
        script = directory / "publish.py"
    script.write_text(text, encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        "node" if language == "js" else sys.executable,
        str(script),
        env=os.environ | {"AMQP_URL": url},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(60):
            said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    return process.returncode or 0, said.decode()
