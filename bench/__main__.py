"""`python -m bench [STAGE…]`: measure all stages, or those named, side by side with their peers.

Prints ratios and figures. All of them together bring docs/performance.md up to date; `--write` does it for some.
"""

import argparse
import asyncio
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from spacehub.running import collect_less_often
from spacehub.telemetry import configure_logs
from spacehub_dev.launcher.interrupting import run_until_interrupted

from bench import feed, forwarder, notifying, otp, push, reporting, sms, timers
from bench.ground import Ground, opened
from bench.measuring import Findings, Unavailable

Stage = Callable[[Ground], Awaitable[Findings]]
STAGES: Mapping[str, Stage] = {
    "forwarder": forwarder.measure,
    "notifying": notifying.measure,
    "sms": sms.measure,
    "push": push.measure,
    "otp": otp.measure,
    "feed": feed.measure,
    "timers": timers.measure,
}
WHOLE = 15 * 60.0
"""Seconds that the whole run may take."""


async def main(names: Sequence[str], directory: Path, *, write: bool, report: Callable[[str], None]) -> int:
    broken = 0
    end = time.monotonic() + WHOLE
    async with opened(directory, report=report) as ground:
        for name in names:
            print(f"\n{name}", flush=True)
            began = time.monotonic()
            try:
                async with asyncio.timeout(max(1.0, end - began)):
                    findings = await STAGES[name](ground)
            except (Unavailable, AssertionError) as reason:  # what is not here, and what did not happen in time
                print(f"  not measured: {reason}", flush=True)
                continue
            except TimeoutError:
                print(f"  not measured: {WHOLE / 60:.0f} minutes are over", flush=True)
                continue
            except Exception:
                traceback.print_exc()
                broken += 1
                continue
            print("\n".join(f"  {line}" for line in reporting.lines(findings)), flush=True)
            print(f"  ({time.monotonic() - began:.0f} s)", flush=True)
            if write:
                reporting.write(name, findings)
    if write:
        reporting.write_versions()
    return 1 if broken else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stages", nargs="*", metavar="STAGE", help=f"{', '.join(STAGES)}; none: all of them")
    parser.add_argument("--write", action="store_true", help="put these results into docs/performance.md too")
    parser.add_argument("--verbose", action="store_true", help="say what is set up")
    arguments = parser.parse_args()
    if unknown := [name for name in arguments.stages if name not in STAGES]:
        sys.exit(f"no such stage: {', '.join(unknown)}; there are: {', '.join(STAGES)}")
    warnings.simplefilter("ignore", DeprecationWarning)
    collect_less_often()  # as the processes do whose rooms are measured here
    configure_logs("bench", level="ERROR", to_terminal=True)
    with tempfile.TemporaryDirectory(prefix="spacehub-bench-", ignore_cleanup_errors=True) as place:
        Path(place).chmod(0o711)
        code = run_until_interrupted(
            main(
                arguments.stages or list(STAGES),
                Path(place),
                write=arguments.write or not arguments.stages,
                report=print if arguments.verbose else lambda _: None,
            ),
            interrupted=130,
        )
    sys.exit(code)
