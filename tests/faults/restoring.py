"""The restore drill: a database that is older than it was, an empty broker, and what becomes of every delivery.

Played as docs/operations.md has it: senders stand still, the database is restored, the broker begins empty, `sms-sender
restored` holds what may have been sent, the domains say again what they said since the backup, and a person compares
what is held with the carrier's record.
"""

import asyncio
import os
import shutil
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import httpx
from sms_sender.doubts import Doubts
from sms_sender.settling import settle
from sms_sender.word import Word
from spacehub import database
from spacehub.testing.waiting import eventually
from spacehub_dev.launcher.parts import whole_system
from spacehub_dev.launcher.processes import BIN, Plan, ProcessSpec, Surroundings
from spacehub_dev.launcher.system import System, running_system
from spacehub_dev.provisioning.postgres_binaries import installed_binaries
from spacehub_dev.provisioning.servers import Report

from tests.faults.checking import NUMBER
from tests.faults.load import Client, Load, Offering
from tests.faults.world import is_ours

LOAD = Load(otps=60, bills=300, per_second=15, seed=91)
QUICK = {"INBOX_API_CHECK_AFTER": "PT20S", "INBOX_API_CHECK_EVERY": "PT1S", "QUIET_HOURS": "off", "RATE_LIMIT": "off"}
"""Deliveries without an end are asked for again after 20 s instead of 10 minutes."""
PATIENCE = 240.0
LATENCY_MS = 6000
"""With 50 texts in hand at once the senders manage 8 a second, half of what is asked for."""


@dataclass
class Drill:
    """What was counted. All of it speaks of bills, whose SMS must go out once; codes are lost with their 5 minutes."""

    name: str
    confirmed: int = 0
    texts_before: int = 0
    known: int = 0
    """Bills that the restored inbox knows of."""
    by_itself: int = 0
    """Texts that went out after the restore, before anybody did anything more."""
    said_again: int = 0
    held: int = 0
    """SMS of which the restored ledger could not know whether they were sent."""
    settled_sent: int = 0
    unknown: frozenset[int] = frozenset()
    """Bills that were in a call when everything was killed: whether they went out, the ledger does not know."""
    texts_after: int = 0
    texts: Counter[int] = field(default_factory=Counter)
    wanted: frozenset[int] = frozenset()

    @property
    def lost(self) -> int:
        return sum(not self.texts[number] for number in self.wanted - self.unknown)

    @property
    def duplicated(self) -> int:
        return sum(max(0, self.texts[number] - 1) for number in self.wanted)

    @property
    def _unknown_and_sent(self) -> int:
        return sum(bool(self.texts[number]) for number in self.unknown)

    @property
    def holds(self) -> bool:
        """Whether every bill that the broker had confirmed went out, once."""
        return not self.lost and not self.duplicated

    @property
    def line(self) -> str:
        """The result on one line of a terminal."""
        return (
            f"{self.name}: {'holds' if self.holds else 'DOES NOT HOLD'}; lost {self.lost},"
            f" duplicated {self.duplicated}; {self.confirmed} bills confirmed, {self.texts_before} of them sent before;"
            f" the restored inbox knew {self.known}, {self.by_itself} texts came by themselves; {self.said_again} said"
            f" again; {self.held} held in doubt, of which {self.settled_sent} had been sent; {self.texts_after} texts"
            f" after the restore; {len(self.unknown)} unknown, of which {self._unknown_and_sent} had been sent"
        )


async def drills(directory: Path, *, report: Report) -> AsyncIterator[Drill]:
    """Both drills: from a backup taken under load, and to the last commit."""
    yield await restored(directory / "backup", report=report, from_backup=True)
    yield await restored(directory / "commit", report=report, from_backup=False)


async def restored(directory: Path, *, report: Report, from_backup: bool) -> Drill:
    """Load, backup, disaster, restore, and everything after it."""
    drill = Drill("restored from a backup under load" if from_backup else "restored to the last commit")
    offering = Offering(f"/faults/restore/{uuid4().hex[:8]}")
    backup = directory / "base-backup"
    async with _system(directory, report) as system, Client(system.backing.amqp_url) as client:
        await _slow_carrier(system)
        loading = asyncio.create_task(client.offer(offering, LOAD))
        await _confirmed(offering, LOAD.size // 3)
        if from_backup:
            await asyncio.to_thread(_take_backup, system.backing.postgres.url, backup)
        await _confirmed(offering, LOAD.size * 4 // 5)
        loading.cancel()
        await asyncio.gather(loading, return_exceptions=True)
        data = await _data_directory(system)
        before = await _disaster(system)
    bills = [offering.events[one] for one in offering.confirmed if offering.events[one].kind == "bill.issued"]
    drill.confirmed, drill.wanted = len(bills), frozenset(bill.number for bill in bills)
    drill.texts_before = sum(number in drill.wanted for number in before)
    await asyncio.to_thread(_lose, directory / "rabbitmq" / "mnesia", data, backup if from_backup else None)
    async with _system(directory, report, guarded=from_backup) as system, Client(system.backing.amqp_url) as client:
        drill.known = await _known(system, offering)
        await eventually(lambda: _settled(system), within=PATIENCE, every=1, because="what is known should come by")
        drill.by_itself = sum(number in drill.wanted for number in await _texts(system))
        for bill in bills:
            await client.publish(offering, bill)
        drill.said_again = len(bills)
        await eventually(lambda: _all_known(system, offering, len(bills)), within=PATIENCE, every=1)
        await eventually(lambda: _settled(system), within=PATIENCE, every=1, because="what is said again should settle")
        sent = Counter(before) + Counter(await _texts(system))
        drill.held, drill.settled_sent = await _person(system, offering, sent)
        await eventually(lambda: _ended(system, offering), within=PATIENCE, every=1, because="every bill has its end")
        after = await _texts(system)
        drill.texts_after = sum(number in drill.wanted for number in after)
        drill.texts = Counter(before) + Counter(after)
        drill.unknown = await _unknown(system, offering) & drill.wanted
    return drill


async def _slow_carrier(system: System) -> None:
    """The carrier answers so late that much is still on its way when the disaster comes."""
    async with httpx.AsyncClient(timeout=10, trust_env=False) as http:
        url = f"{system.plan.urls['sms_simulator_url']}/control/behaviour"
        (await http.put(url, json={"mode": "ok", "latency_ms": LATENCY_MS})).raise_for_status()


@asynccontextmanager
async def _system(directory: Path, report: Report, *, guarded: bool = False) -> AsyncIterator[System]:
    environment = {**os.environ, **QUICK}
    for name in ("AMQP_URL", "DATABASE_URL"):
        environment.pop(name, None)

    def plan(around: Surroundings) -> Plan:
        whole = whole_system(around)
        if not guarded:
            return whole
        [migrate] = [spec for spec in whole.migrations if spec.name == "sms-sender migrate"]
        verb = [str(BIN / "sms-sender"), "restored", "--by", "drill"]
        return replace(
            whole, migrations=[*whole.migrations, ProcessSpec("sms-sender restored", verb, migrate.environment)]
        )

    async with running_system(
        directory, report=report, label="restore", make_plan=plan, environment=environment
    ) as system:
        yield system


async def _confirmed(offering: Offering, count: int) -> None:
    await eventually(lambda: len(offering.confirmed) >= count, within=120, because="the load should get going")


def _take_backup(url: str, target: Path) -> None:
    binaries = installed_binaries()
    program = (binaries / "pg_basebackup") if binaries else None
    assert program is not None, "the drill needs pg_basebackup"
    parts = urlsplit(url)
    command = [str(program), "--pgdata", str(target), "--checkpoint", "fast", "--wal-method", "stream"]
    command += ["--host", str(parts.hostname), "--port", str(parts.port), "--username", str(parts.username)]
    subprocess.run(command, check=True, env={**os.environ, "PGPASSWORD": str(parts.password)}, capture_output=True)


async def _data_directory(system: System) -> Path:
    [row] = await _rows(system.backing.postgres.url, "SHOW data_directory")
    return Path(row["data_directory"])


async def _disaster(system: System) -> list[int]:
    """kill -9 of every process, of the database and of the broker; the numbers in the texts that the carrier has."""
    for keeper in system.keepers:
        keeper.cancel()
    await asyncio.gather(*system.keepers, return_exceptions=True)
    for name, program in system.programs.items():
        if is_ours(name):
            await asyncio.to_thread(program.kill)
    texts = await _texts(system)
    await asyncio.to_thread(system.backing.postgres.kill)
    await asyncio.to_thread(system.backing.rabbitmq.kill)
    return texts


def _lose(broker: Path, data: Path, backup: Path | None) -> None:
    """Empty the broker; where there is a backup, it takes the database's place."""
    shutil.rmtree(broker)
    if backup is None:
        return
    owner = data.stat()
    shutil.rmtree(data)
    shutil.move(backup, data)
    for path in (data, *data.rglob("*")):
        os.chown(path, owner.st_uid, owner.st_gid)
    data.chmod(0o700)


async def _texts(system: System) -> list[int]:
    async with httpx.AsyncClient(timeout=10, trust_env=False) as http:
        url = f"{system.plan.urls['sms_simulator_url']}/control/messages"
        messages: Sequence[Mapping[str, Any]] = (await http.get(url, params={"since": 0})).json()["messages"]
    found = [NUMBER.search(message["text"]) for message in messages]
    return [int(number[1].replace(",", "")) for number in found if number]


async def _rows(url: str, query: str, *values: Any) -> list[Any]:
    connection = await asyncpg.connect(url, timeout=20)
    try:
        return list(await connection.fetch(query, *values, timeout=30))
    finally:
        await connection.close()


async def _known(system: System, offering: Offering) -> int:
    query = "SELECT count(DISTINCT event_id) AS known FROM deliveries WHERE source = $1 AND type = 'bill.issued'"
    [row] = await _rows(system.backing.databases["inbox"], query, offering.source)
    return int(row["known"])


async def _unknown(system: System, offering: Offering) -> frozenset[int]:
    query = "SELECT source_id FROM sms WHERE source = $1 AND status = 'unknown'"
    rows = await _rows(system.backing.databases["sms"], query, offering.source)
    return frozenset(offering.events[row["source_id"]].number for row in rows)


async def _all_known(system: System, offering: Offering, count: int) -> bool:
    return await _known(system, offering) == count


PENDING = "SELECT id FROM deliveries WHERE status = 'pending' AND type = 'bill.issued'"


async def _pending(system: System) -> set[str]:
    rows = await _rows(system.backing.databases["inbox"], PENDING)
    return {str(row["id"]) for row in rows}


async def _settled(system: System) -> bool:
    """Whether whatever has no end is held until a person says what became of it."""
    query = "SELECT sms_id FROM sms WHERE status = 'unknown' AND reason = 'restored'"
    held = {str(row["sms_id"]) for row in await _rows(system.backing.databases["sms"], query)}
    return await _pending(system) <= held


async def _ended(system: System, _: Offering) -> bool:
    return not await _pending(system)


async def _person(system: System, offering: Offering, sent: Mapping[int, int]) -> tuple[int, int]:
    """Settle everything that is held by the carrier's record; how many there were, and how many had been sent."""
    async with database.pooled(system.backing.databases["sms"], size=1) as pool:
        query = "SELECT sms_id, source_id FROM sms WHERE status = 'unknown' AND reason = 'restored'"
        held = await pool.fetch(query)
        was_sent = 0
        for row in held:
            went_out = bool(sent.get(offering.events[row["source_id"]].number))
            was_sent += went_out
            word = Word(
                row["sms_id"], was_sent=went_out, by="drill", reason="the carrier's record", resend=not went_out
            )
            await settle(word, doubts=Doubts(pool))
    return len(held), was_sent
