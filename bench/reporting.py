"""Brings the tables of docs/performance.md up to date; the words around them are written by hand."""

import os
import platform
import re
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from spacehub_dev.provisioning import postgres_binaries

from bench.measuring import Findings

PAGE = Path(__file__).resolve().parents[1] / "docs" / "performance.md"
LIBRARIES = ("aio-pika", "aiormq", "asyncpg", "aiohttp", "fastapi", "uvicorn", "firebase-admin")


def write(stage: str, findings: Findings) -> None:
    """Put a stage's tables between its marks on the page."""
    _replace(stage, "\n".join(lines(findings)))


def write_versions() -> None:
    """Say on what the whole was measured."""
    _replace("versions", versions())


def lines(findings: Findings) -> Iterator[str]:
    """The stage's ratios and figures as Markdown."""
    yield from (f"- {goal.line}" for goal in findings.goals)
    yield ""
    yield "| " + " | ".join(findings.head) + " |"
    yield "|" + "---|" * len(findings.head)
    yield from ("| " + " | ".join(row) + " |" for row in findings.rows)
    for note in findings.notes:
        yield ""
        yield note


def versions() -> str:
    """The machine, its programs and our libraries."""
    postgres = postgres_binaries.installed_binaries()
    said = [f"Python {platform.python_version()}"]
    if postgres is not None:
        said.append(_said(str(postgres / "postgres"), "--version").replace("postgres (PostgreSQL)", "PostgreSQL"))
    said.append("RabbitMQ " + _said("dpkg-query", "-W", "-f=${Version}", "rabbitmq-server"))
    said += [f"{name} {version(name)}" for name in LIBRARIES]
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    return f"{', '.join(said)}; {machine}, load {os.getloadavg()[0]:.1f} at the end; {datetime.now(UTC):%Y-%m-%d}."


def _replace(mark: str, text: str) -> None:
    page = PAGE.read_text()
    found = re.subn(rf"(<!-- {mark} -->\n).*?(\n<!-- end -->)", lambda m: m[1] + text + m[2], page, flags=re.DOTALL)
    if found[1] != 1:
        raise ValueError(f"{PAGE.name} has no place for {mark}")
    PAGE.write_text(found[0])


def _said(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, cwd="/").stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "of an unknown version"
