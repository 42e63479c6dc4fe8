"""`python -m tests.faults [NAME…]`: run the experiments; all of them write docs/faults.md."""

import argparse
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from spacehub_dev.launcher.interrupting import run_until_interrupted

from tests.faults.experiments import BY_NAME, EXPERIMENTS
from tests.faults.otp_first import measure
from tests.faults.reporting import write_experiments
from tests.faults.running import run_all

OTP_FIRST = "otp first"


async def main(names: list[str], directory: Path, *, verbose: bool, write: bool, patience: float | None) -> int:
    chosen = [BY_NAME[name] for name in names if name != OTP_FIRST] if names else EXPERIMENTS
    if patience is not None:
        chosen = [replace(experiment, patience=patience) for experiment in chosen]
    report = print if verbose else lambda _: None
    held = True
    async for result in run_all(chosen, directory, report=report):
        held = held and result.counts.hold
        print(result.line, flush=True)
        for problem in result.counts.problems[:10]:
            print(f"    {problem}", flush=True)
        if write:
            write_experiments([result], [])
    if not names or OTP_FIRST in names:
        async for found in measure(directory, report=report):
            print(found.line, flush=True)
            if write:
                write_experiments([], [found])
    return 0 if held else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="an experiment's name; none: all of them")
    parser.add_argument("--verbose", action="store_true", help="say what the launcher does")
    parser.add_argument("--write", action="store_true", help="put these results into docs/faults.md too")
    parser.add_argument("--patience", type=float, metavar="SECONDS", help="how long everything may take to end")
    arguments = parser.parse_args()
    if unknown := [name for name in arguments.names if name not in {OTP_FIRST, *BY_NAME}]:
        sys.exit(f"no such experiment: {', '.join(unknown)}; there are:\n  " + "\n  ".join(BY_NAME))
    with tempfile.TemporaryDirectory(prefix="spacehub-faults-") as place:
        Path(place).chmod(0o711)
        code = run_until_interrupted(
            main(
                arguments.names,
                Path(place) / "system",
                verbose=arguments.verbose,
                write=arguments.write or not arguments.names,
                patience=arguments.patience,
            ),
            interrupted=130,
        )
    sys.exit(code)
