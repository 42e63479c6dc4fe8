"""Writes docs/faults.md: what was done to the system, what became of every delivery, and on which versions."""

import os
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from spacehub_dev.provisioning import postgres_binaries

from tests.faults.experiments import EXPERIMENTS
from tests.faults.mutants import Caught
from tests.faults.otp_first import CONDITIONS, GOAL_MS, Measured
from tests.faults.running import Result

PAGE = Path(__file__).resolve().parents[2] / "docs" / "faults.md"

HEAD = """# Faults

What happens to codes and bills while something breaks: `make faults` runs every experiment below on private servers and
writes this page anew from that one run; `make test` runs the short form (marked ●). Each experiment offers a seeded
load as another domain would (a client that publishes with confirms and repeats what was not confirmed under the same
id), injects one fault when a third of the load is confirmed, waits until every delivery has its end and every queue is
empty, and counts. The checker looks from outside only: at the texts the gateway took (each is unique), the ledger, the
deliveries and the outcome events.

Numbers are deliveries (a code causes one, a bill three: inbox, push, SMS).

- **lost**: confirmed by the broker, and without an end, or `sent` without a text, or nobody was told. Must be 0.
- **recovered**: confirmed before the fault was over and sent after it.
- **unexpected**: an end that this fault does not explain, a text that the ledger denies, a stray dead letter. Must be
  0.
- **duplicated**: texts beyond the first. At most **in doubt**, the attempts on record as such; and never for a bill.
"""


def write_page(
    results: Sequence[Result], measured: Sequence[Measured], caught: Sequence[Caught], *, run: str, page: Path = PAGE
) -> None:
    """Write the page anew from one run; `run` says how it went as a whole."""
    order = [experiment.name for experiment in EXPERIMENTS]
    rows = sorted(results, key=lambda result: order.index(result.experiment.name))
    lines = [
        HEAD,
        *EXPERIMENTS_HEAD,
        *map(_row, rows),
        "",
        *CODES_HEAD,
        *map(_measured, measured),
        "",
        *MUTANTS_HEAD,
        *map(_caught, caught),
        "",
        *_on_what(run),
    ]
    page.write_text("\n".join(lines) + "\n")


EXPERIMENTS_HEAD = (
    "## Experiments",
    "",
    "| | fault | load | what happened | deliveries | lost | recovered | unexpected | duplicated | in doubt | s |",
    "|---|---|---|---|---|---|---|---|---|---|---|",
)
CODES_HEAD = (
    "## Codes while 20,000 bills wait",
    "",
    f"From the call that publishes the code to its request at the gateway. The goal: a p99 below {GOAL_MS:.0f} ms.",
    "",
    "The load average is the whole machine's: where it is far above the number of cores, others were at work too, and",
    "the longest waits are waits for a core.",
    "",
    "| the bills | waiting, first to last code | codes | p50 | p99 | longest | p99 of each part of the way | load |",
    "|---|---|---|---|---|---|---|---|",
)
MUTANTS_HEAD = (
    "## Promises broken on purpose",
    "",
    "Each in a copy of the tree, with the experiment that must notice (`python -m tests.faults.mutants`).",
    "",
    "| broken promise | experiment | noticed | s |",
    "|---|---|---|---|",
)


def _row(result: Result) -> str:
    counts, experiment = result.counts, result.experiment
    mark = "●" if experiment.short else ""
    held = "" if counts.hold else "**did not hold**: "
    numbers = (counts.deliveries, counts.lost, counts.recovered, counts.unexpected, counts.duplicated)
    columns = (mark, experiment.title, experiment.load, held + result.happened, *numbers, counts.ambiguous)
    return "| " + " | ".join(str(column) for column in columns) + f" | {result.seconds:.0f} |"


def _measured(one: Measured) -> str:
    legs = ", ".join(f"{name} {leg:.0f} ms" for name, leg in one.legs.items())
    return (
        f"| {CONDITIONS[one.bills]} | {one.waiting_first:,} to {one.waiting_last:,} | {one.codes}"
        f" | {one.p50:.0f} ms | {one.p99:.0f} ms | {one.longest:.0f} ms | {legs} | {one.load:.0f} |"
    )


def _caught(one: Caught) -> str:
    return f"| {one.mutant.broken} | {one.mutant.experiment} | {one.told} | {one.seconds:.0f} |"


def _on_what(run: str) -> list[str]:
    postgres = postgres_binaries.installed_binaries()
    said = [f"Python {platform.python_version()}"]
    if postgres is not None:
        said.append(_said(str(postgres / "postgres"), "--version").replace("postgres (PostgreSQL)", "PostgreSQL"))
    said.append("RabbitMQ " + _said("dpkg-query", "-W", "-f=${Version}", "rabbitmq-server"))
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    return ["## On what", "", f"{', '.join(said)}; {machine}; {datetime.now(UTC):%Y-%m-%d}.", "", run]


def _said(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, cwd="/").stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "of an unknown version"
