"""`python -m tests.faults.mutants [NUMBER…]`: breaks one promise at a time in a copy of the tree: who notices?

Each change is an exact text that must occur once, so that no mutant silently does nothing.
"""

import asyncio
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from spacehub_dev.launcher.interrupting import run_until_interrupted

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 45
"""Seconds after which an experiment with a mutant is not quiet: enough where nothing is lost."""

COUNTED = re.compile(
    r"lost (?P<lost>\d+), recovered \d+, unexpected (?P<unexpected>\d+), duplicated (?P<duplicated>\d+), in doubt \d+"
)
"""What an experiment prints of its counts."""

SETTLING = "shared/spacehub/consuming/settling.py"
RABBIT = "shared/spacehub/rabbit.py"
CONFIRMING = "shared/spacehub/confirming.py"
FORWARDER = "shared/spacehub/forwarder.py"
DELIVERIES = "services/inbox-api/inbox_api/deliveries.py"
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
                "        fault = await attempt(readable) if readable else None\n",
                "        for taken in readable:\n            await session.ack(taken.message)\n"
                "        fault = await attempt(readable) if readable else None\n",
            ),
            Change(
                SETTLING,
                '            taken.span.end("done")\n        await session.ack(taken.message)\n',
                '            taken.span.end("done")\n',
            ),
        ),
    ),
    Mutant(
        "the publisher takes silence for a confirm",
        "kill broker",
        (
            Change(RABBIT, "confirms = [Confirm.UNCERTAIN] * len", "confirms = [Confirm.ACKED] * len"),
            Change(CONFIRMING, "confirms = [Confirm.UNCERTAIN] * size", "confirms = [Confirm.ACKED] * size"),
        ),
    ),
    Mutant(
        "the publisher takes a returned message for a confirmed one",
        "binding deleted",
        (Change(CONFIRMING, "self._answer(numbers[0], Confirm.RETURNED)", "self._answer(numbers[0], Confirm.ACKED)"),),
    ),
    Mutant(
        "the forwarder reads the outbox by a cursor over the ids",
        "kill broker",
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
        "a copy of an event is another event, with deliveries of its own",
        "unheard commits",
        (
            Change(
                "services/inbox-api/inbox_api/notifying_store.py",
                "ON CONFLICT DO NOTHING\nRETURNING source, event_id",
                "ON CONFLICT (event_id, source) DO UPDATE SET type = excluded.type\nRETURNING source, event_id",
            ),
            Change(
                DELIVERIES,
                'return uuid5(_NAMESPACE, "\\n".join((event.source, event.id, str(user_id or ""), channel)))',
                "return uuid4()",
            ),
            Change(DELIVERIES, "UUID, uuid5\n", "UUID, uuid4, uuid5\n"),
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
        "the end of a code is never asked for",
        "outcomes deleted",
        (
            Change(
                "services/inbox-api/inbox_api/checking.py",
                "            self.findings.forward.append((delivery, asking_for_the_end(delivery)))\n",
                "",
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
                "                        await publish(letters.as_new(message, queue=queue), publisher=publisher)\n"
                "                        await found.basic_ack(message.delivery_tag or 0)\n"
                "                        await asyncio.sleep(1 / per_second)\n",
                "                        await found.basic_ack(message.delivery_tag or 0)\n"
                "                        await asyncio.sleep(1 / per_second)\n"
                "                        await publish(letters.as_new(message, queue=queue), publisher=publisher)\n",
            ),
        ),
    ),
)


@dataclass(frozen=True)
class Caught:
    """What an experiment counted with a mutant in place; it noticed when something was lost, unexplained or doubled."""

    mutant: Mutant
    noticed: bool
    counted: str
    seconds: float

    @property
    def told(self) -> str:
        return self.counted if self.noticed else f"**no**: {self.counted}"

    @property
    def line(self) -> str:
        """The result on one line of a terminal."""
        verdict = "noticed" if self.noticed else "NOT NOTICED"
        return f"{self.mutant.broken} ({self.mutant.experiment}): {verdict}; {self.counted}; {self.seconds:.0f} s"


async def run_all(mutants: Sequence[Mutant], *, at_once: int) -> AsyncIterator[Caught]:
    """Run each in a copy of the tree of its own, `at_once` at a time; in their order."""
    turn = asyncio.Semaphore(at_once)

    async def one(mutant: Mutant) -> Caught:
        async with turn:
            return await _run(mutant)

    running = [asyncio.create_task(one(mutant)) for mutant in mutants]
    try:
        for task in running:
            yield await task
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def _run(mutant: Mutant) -> Caught:
    began = monotonic()
    with tempfile.TemporaryDirectory(prefix="spacehub-mutant-") as place:
        tree = Path(place)
        await asyncio.to_thread(_copy, tree)
        for change in mutant.changes:
            change.apply(tree)
        rooms = [tree, tree / "shared", tree / "dev", *sorted((tree / "services").iterdir())]
        command = [sys.executable, "-m", "tests.faults", "--only", mutant.experiment, "--patience", str(PATIENCE)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, rooms))}
        process = await asyncio.create_subprocess_exec(
            *command, cwd=tree, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        try:
            said = (await process.communicate())[0].decode(errors="replace")
        finally:
            if process.returncode is None:
                process.terminate()
                await process.wait()
    found = COUNTED.search(said)
    if found is None:
        return Caught(mutant, False, f"nothing was counted: {said.strip().splitlines()[-1:]}", monotonic() - began)
    noticed = process.returncode != 0 and any(int(found[name]) for name in ("lost", "unexpected", "duplicated"))
    return Caught(mutant, noticed, found[0], monotonic() - began)


async def main(numbers: list[int]) -> int:
    """Run the mutants; 0 when each was noticed."""
    caught = []
    async for one in run_all([MUTANTS[number - 1] for number in numbers] or MUTANTS, at_once=1):
        print(one.line, flush=True)
        caught.append(one)
    return 0 if all(one.noticed for one in caught) else 1


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
    sys.exit(run_until_interrupted(main([int(number) for number in sys.argv[1:]]), interrupted=130))
