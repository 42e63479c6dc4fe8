"""`python -m tests.faults`: everything that `make faults` does, written to docs/faults.md; `--only NAME`: just that.

First the experiments and the promises broken on purpose, a few systems at a time; then codes are measured, alone.
"""

import argparse
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

from spacehub_dev.launcher.interrupting import run_until_interrupted
from spacehub_dev.provisioning.servers import Report

from tests.faults import mutants, running
from tests.faults.experiment import Experiment
from tests.faults.experiments import BY_NAME, EXPERIMENTS
from tests.faults.mutants import MUTANTS, Caught
from tests.faults.otp_first import Measured, measure
from tests.faults.reporting import write_page
from tests.faults.restoring import Drill, drills
from tests.faults.running import Result

OTP_FIRST, BROKEN, RESTORE = "otp first", "mutants", "restore"
"""What else can be run alone: the measurement, the promises broken on purpose, and the restore drill."""
AT_ONCE = 3
"""Systems at a time: most of an experiment is waiting, and none of them counts how long anything takes."""


@dataclass(frozen=True)
class Run:
    """What is to be run, in `directory`, and how."""

    experiments: Sequence[Experiment]
    mutants: Sequence[mutants.Mutant]
    otp_first: bool
    restore: bool
    directory: Path
    at_once: int
    report: Report


async def main(asked: Run, *, write: bool) -> int:
    """Run it all, tell each result as it comes and the sum at the end; 0 when everything held.

    The page is written after each part, so that a run which is ended early tells what it had found.
    """
    began = monotonic()
    results: list[Result] = []
    caught: list[Caught] = []
    measured: list[Measured] = []

    def told_so_far() -> str:
        minutes = (monotonic() - began) / 60
        held = sum(result.counts.hold for result in results)
        noticed = sum(one.noticed for one in caught)
        told = (
            f"{held} of {len(results)} experiments held, {noticed} of {len(caught)} broken promises were noticed;"
            f" {minutes:.0f} minutes, {asked.at_once} systems at a time, the codes alone"
        )
        if write:
            write_page(results, measured, caught, run=f"{told}.")
        return told

    results += [result async for result in _experiments(asked)]
    told_so_far()
    caught += [one async for one in _mutants(asked)]
    told_so_far()
    drilled = [drill async for drill in _drills(asked)]
    measured += [found async for found in _codes(asked)]
    print(told_so_far(), flush=True)
    whole = all(result.counts.hold for result in results) and all(one.noticed for one in caught)
    return 0 if whole and all(drill.holds for drill in drilled) else 1


async def _experiments(asked: Run) -> AsyncIterator[Result]:
    total = len(asked.experiments)
    number = 0
    ran = running.run_all(asked.experiments, asked.directory, report=asked.report, at_once=asked.at_once)
    async for result in ran:
        number += 1
        print(f"{_now()} [{number}/{total}] {result.line}", flush=True)
        for problem in result.counts.problems[:10]:
            print(f"    {problem}", flush=True)
        yield result


async def _mutants(asked: Run) -> AsyncIterator[Caught]:
    async for one in mutants.run_all(asked.mutants, at_once=asked.at_once):
        print(f"{_now()} {one.line}", flush=True)
        yield one


async def _drills(asked: Run) -> AsyncIterator[Drill]:
    if asked.restore:
        async for drill in drills(asked.directory / "restore", report=asked.report):
            print(f"{_now()} {drill.line}", flush=True)
            yield drill


async def _codes(asked: Run) -> AsyncIterator[Measured]:
    if asked.otp_first:
        async for found in measure(asked.directory / "otp-first", report=asked.report):
            print(f"{_now()} {found.line}", flush=True)
            yield found


def _now() -> str:
    return f"{datetime.now(UTC):%H:%M:%S}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    known = f"an experiment, `{OTP_FIRST}`, `{BROKEN}` or `{RESTORE}`"
    parser.add_argument("--only", action="append", metavar="NAME", help=f"{known}; may be repeated; writes no page")
    parser.add_argument("--at-once", type=int, default=AT_ONCE, metavar="N", help="systems at a time")
    parser.add_argument("--patience", type=float, metavar="SECONDS", help="how long everything may take to end")
    parser.add_argument("--verbose", action="store_true", help="say what the launcher does")
    arguments = parser.parse_args()
    if unknown := [name for name in arguments.only or () if name not in {OTP_FIRST, BROKEN, RESTORE, *BY_NAME}]:
        parser.error(f"no such experiment: {', '.join(unknown)}; there are:\n  " + "\n  ".join(BY_NAME))
    return arguments


if __name__ == "__main__":
    told = _arguments()
    only = told.only
    chosen = EXPERIMENTS if only is None else [BY_NAME[name] for name in only if name in BY_NAME]
    if told.patience is not None:
        chosen = [replace(experiment, patience=told.patience) for experiment in chosen]
    with tempfile.TemporaryDirectory(prefix="spacehub-faults-") as place:
        Path(place).chmod(0o711)
        run = Run(
            experiments=chosen,
            mutants=MUTANTS if only is None or BROKEN in only else (),
            otp_first=only is None or OTP_FIRST in only,
            restore=only is None or RESTORE in only,
            directory=Path(place),
            at_once=told.at_once,
            report=print if told.verbose else lambda _: None,
        )
        code = run_until_interrupted(main(run, write=only is None), interrupted=130)
    sys.exit(code)
