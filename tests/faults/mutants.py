"""`python -m tests.faults.mutants [NUMBER…]`: breaks one promise at a time in a copy of the tree: who notices?

Each change is an exact text that must occur once, so that no mutant silently does nothing.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.faults.reporting import write_mutants

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 45
"""Seconds after which an experiment with a mutant is not quiet: enough where nothing is lost."""

SETTLING = "shared/spacehub/consuming/settling.py"
RABBIT = "shared/spacehub/rabbit.py"
FORWARDER = "shared/spacehub/forwarder.py"
ATTEMPTS = "services/sms-sender/sms_sender/attempts.py"


@dataclass(frozen=True)
class Change:
    """`old`, which occurs once in `file`, becomes `new`."""

    file: str
    old: str
    new: str

    def apply(self, tree: Path) -> None:
        """Raises ValueError when `old` does not occur exactly once."""
        path = tree / self.file
        text = path.read_text(encoding="utf-8")
        if text.count(self.old) != 1:
            raise ValueError(f"{self.file} has {text.count(self.old)} places like this, not one:\n{self.old}")
        path.write_text(text.replace(self.old, self.new), encoding="utf-8")


@dataclass(frozen=True)
class Mutant:
    """One broken promise, and the experiment that should turn red."""

    broken: str
    experiment: str
    changes: tuple[Change, ...]


MUTANTS = (
    Mutant(
        "a message is acked before its transaction is committed",
        "kill in mid-batch",
        (
            Change(
                SETTLING,
                "    fault = await attempt([event for _, event in readable]) if readable else None\n",
                "    for message, _ in readable:\n        await session.ack(message)\n"
                "    fault = await attempt([event for _, event in readable]) if readable else None\n",
            ),
            Change(
                SETTLING,
                '        _HANDLED.labels(queue.name, "done").inc()\n        await session.ack(message)\n',
                '        _HANDLED.labels(queue.name, "done").inc()\n',
            ),
        ),
    ),
    Mutant(
        "the publisher takes silence for a confirm",
        "kill broker",
        (
            Change(
                RABBIT,
                "    if not task.done() or task.cancelled():\n        return Confirm.UNCERTAIN\n",
                "    if not task.done() or task.cancelled():\n        return Confirm.ACKED\n",
            ),
            Change(
                RABBIT,
                "        case _:\n            return Confirm.UNCERTAIN\n",
                "        case _:\n            return Confirm.ACKED\n",
            ),
        ),
    ),
    Mutant(
        "the publisher takes a returned message for a confirmed one",
        "binding deleted",
        (Change(RABBIT, "            return Confirm.RETURNED\n", "            return Confirm.ACKED\n"),),
    ),
    Mutant(
        "the forwarder reads the outbox by a cursor over the ids",
        "slow database",
        (
            Change(FORWARDER, "AND available_at <= now()\nORDER", "AND available_at <= now() AND id > $3\nORDER"),
            Change(FORWARDER, "fetch(_TAKE, lane, batch)", "fetch(_TAKE, lane, batch, _CURSOR.get(lane, 0))"),
            Change(
                FORWARDER,
                "        confirms = await publisher.publish(",
                '        _CURSOR[lane] = max(row["id"] for row in rows)\n        confirms = await publisher.publish(',
            ),
            Change(FORWARDER, 'GIVE_UP = 5.0\n"""', '_CURSOR: dict[str, int] = {}\nGIVE_UP = 5.0\n"""'),
        ),
    ),
    Mutant(
        "a claim holds no lease: whoever gets a copy may send",
        "kill in mid-call",
        (
            Change(
                ATTEMPTS,
                '        case "claimed" if _is_live(state):\n            return Held()\n        case "claimed":\n'
                "            if worth",
                '        case "claimed" if _is_live(state):\n            return Start()\n        case "claimed":\n'
                "            if worth",
            ),
        ),
    ),
    Mutant(
        "a bill in doubt is sent once more, like a code",
        "gateway resets",
        (Change(ATTEMPTS, "return about == OTP and ambiguous == 0", "return ambiguous == 0"),),
    ),
    Mutant(
        "an attempt in doubt is booked as not sent",
        "gateway resets",
        (
            Change(
                "services/sms-sender/sms_sender/sending.py",
                "await ledger.doubt(attempt, outcome.reason, took=took)",
                "await ledger.release(attempt, outcome.reason, took=took)",
            ),
        ),
    ),
    Mutant(
        "an event is written again when it comes again",
        "unheard commits",
        (
            Change(
                "services/inbox-api/inbox_api/notifying_store.py",
                "ON CONFLICT DO NOTHING\nRETURNING source, event_id",
                "ON CONFLICT (event_id, source) DO UPDATE SET type = excluded.type\nRETURNING source, event_id",
            ),
        ),
    ),
    Mutant(
        "what cannot be read is acked and forgotten",
        "poison",
        (
            Change(
                SETTLING,
                "            await failed(message, HandedBack(None, unreadable))\n",
                "            await session.ack(message)\n            del unreadable\n",
            ),
        ),
    ),
    Mutant(
        "a delivery without an end is never asked for again",
        "queue deleted",
        (
            Change(
                "services/inbox-api/inbox_api/checking.py",
                "        self.findings.forward.append((delivery, request))\n",
                "        del request\n",
            ),
        ),
    ),
    Mutant(
        "the end of a settled SMS is told once only, heard or not",
        "outcomes deleted",
        (
            Change(
                "services/sms-sender/sms_sender/ledger.py",
                "                    await rows.tell_again(connection, row)\n",
                "",
            ),
        ),
    ),
    Mutant(
        "a redrive takes the letter away before its copy is published",
        "redrive twice",
        (
            Change(
                "shared/spacehub/dead_letters.py",
                "                await publish(letters.as_new(message, queue=queue), publisher=publisher)\n"
                "                await channel.basic_ack(message.delivery_tag or 0)\n"
                "                sent += 1\n"
                "                await asyncio.sleep(1 / per_second)\n",
                "                await channel.basic_ack(message.delivery_tag or 0)\n"
                "                sent += 1\n"
                "                await asyncio.sleep(1 / per_second)\n"
                "                await publish(letters.as_new(message, queue=queue), publisher=publisher)\n",
            ),
        ),
    ),
)


def main(numbers: list[int]) -> int:
    """Run the mutants; 0 when each was noticed."""
    rows = []
    unnoticed = 0
    for mutant in [MUTANTS[number - 1] for number in numbers] or MUTANTS:
        found = _run(mutant)
        unnoticed += found is None
        print(f"{mutant.broken} ({mutant.experiment}): {found or 'NOT NOTICED'}", flush=True)
        rows.append(f"| {mutant.broken} | {mutant.experiment} | {found or '**no**'} |")
    if not numbers:
        write_mutants(rows)
    return 1 if unnoticed else 0


def _run(mutant: Mutant) -> str | None:
    """What the experiment had to say against the mutant; None when it held."""
    with tempfile.TemporaryDirectory(prefix="spacehub-mutant-") as place:
        tree = Path(place)
        _copy(tree)
        for change in mutant.changes:
            change.apply(tree)
        rooms = [tree, tree / "shared", tree / "dev", *sorted((tree / "services").iterdir())]
        command = [sys.executable, "-m", "tests.faults", mutant.experiment, "--patience", str(PATIENCE)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, rooms))}
        done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True)
    lines = done.stdout.splitlines()
    [verdict] = [line for line in lines if line.startswith(f"{mutant.experiment}: ")] or [""]
    if not verdict:
        raise RuntimeError(f"the experiment did not run:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    if done.returncode == 0:
        return None
    problems = [line.strip() for line in lines if line.startswith("    ")]
    return f"{verdict.split('; ')[1]}; first: {problems[0] if problems else 'none'}"


def _copy(tree: Path) -> None:
    """Everything that is ours, as it is in the working tree now."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, tree / name)


if __name__ == "__main__":
    sys.exit(main([int(number) for number in sys.argv[1:]]))
