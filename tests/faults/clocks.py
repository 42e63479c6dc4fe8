"""Two schedulers whose clocks are five minutes apart from the database's, one ahead and one behind.

The clocks are moved by libfaketime, from Debian, inside the two processes alone. Timers are armed for the next seconds
by the database's clock: one that went by its own would fire five minutes too early, or too late.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from uuid import uuid4

import aio_pika
from spacehub.testing.waiting import eventually
from spacehub_dev.provisioning import apt

from tests.faults.cluster_faults import THREE_NODES, everybody_there, leader_of
from tests.faults.experiment import IN_DOUBT, Experiment
from tests.faults.faults import another
from tests.faults.load import Load, Offering
from tests.faults.world import World

SHIFT = timedelta(minutes=5)
TIMERS = 60
SPREAD = timedelta(seconds=12)
"""Over which the timers fall due, after a first while in which the second scheduler comes up."""
AHEAD = timedelta(seconds=8)
FIRE = "scheduler fire"
FIRED = "faults.fired"

_DUE = """
WITH armed AS (
    SELECT subject, row_number() OVER (ORDER BY subject) AS number FROM timers
    WHERE state = 'armed' AND subject = ANY($1::text[])
)
UPDATE timers SET due_at = clock_timestamp() + $2::interval + number * $3::interval / $4
FROM armed WHERE timers.subject = armed.subject
RETURNING timers.subject, due_at"""


def moved(shift: timedelta) -> Mapping[str, str]:
    """What a process must be told so that its clock is `shift` ahead; its waits are not touched."""
    library = _library()
    if library is None:
        apt.install("libfaketime", report=lambda _: None)
        library = _library()
    assert library is not None, "libfaketime is nowhere"
    return {
        "LD_PRELOAD": str(library),
        "FAKETIME": f"{shift.total_seconds():+.0f}s",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


async def schedulers_apart(world: World, _: Offering) -> str:
    """Contracts fall due under both schedulers; the one ahead is killed half-way, with the broker that leads."""
    source = f"/faults/clocks/{uuid4()}"
    contracts = [str(uuid4()) for _ in range(TIMERS)]
    world.system.programs[FIRE].suspend()  # it has the right time
    try:
        async with (
            another(world, FIRE, 2, told=moved(SHIFT)) as ahead,
            another(world, FIRE, 3, told=moved(-SHIFT)),
            _fired(world.amqp_url) as fired,
        ):
            for contract in contracts:
                await _sign(world, source, contract)
            due = await _arm(world, [f"contract:{contract}" for contract in contracts])
            await eventually(lambda: len(fired) >= TIMERS // 3, within=60, every=0.1)
            leader = await leader_of(world)
            await asyncio.gather(asyncio.to_thread(ahead.kill), asyncio.to_thread(world.cluster.down, leader))
            await eventually(lambda: len(fired) >= TIMERS, within=90, every=0.1, because="every timer should fire")
            await asyncio.to_thread(world.cluster.up, leader)
            whole = await everybody_there(world)
            latest = _judge(due, fired)
    finally:
        world.system.programs[FIRE].resume()
    return f"{TIMERS} timers fired once each, none early, the latest {latest:.1f} s after its time; {whole}"


async def _sign(world: World, source: str, contract: str) -> None:
    """leasing signs a contract with somebody who has neither phone nor device: nothing but the timer is of interest."""
    lease = {
        "contract_id": contract,
        "owner_id": str(uuid4()),
        "recipient": {"user_id": str(uuid4())},
        "property": "Зайсан Плаза",
        "unit": "1201",
        "ends_on": (datetime.now(UTC) + timedelta(days=60)).date().isoformat(),
    }
    event = {
        "specversion": "1.0",
        "id": str(uuid4()),
        "source": source,
        "type": "mn.spacehub.contract.signed",
        "time": datetime.now(UTC).isoformat(),
        "data": lease,
    }
    body = json.dumps(event).encode()
    put = partial(world.client.put, body, str(uuid4()), exchange="spacehub.events", key="contract.signed")
    await eventually(put, every=0.2)


async def _arm(world: World, subjects: Sequence[str]) -> Mapping[str, datetime]:
    """Wait until the timers are armed, and move their times into the next seconds, by the database's clock."""

    async def all_armed() -> bool:
        query = "SELECT count(*) AS armed FROM timers WHERE state = 'armed' AND subject = ANY($1::text[])"
        [row] = await world.rows("scheduler", query, subjects)
        return bool(row["armed"] == len(subjects))

    await eventually(all_armed, within=60, every=0.2, because="the scheduler should learn of the contracts")
    rows = await world.rows("scheduler", _DUE, subjects, AHEAD, SPREAD, TIMERS)
    await world.rows("scheduler", "SELECT pg_notify('timers_armed', clock_timestamp()::text)")
    return {row["subject"]: row["due_at"] for row in rows}


@asynccontextmanager
async def _fired(url: str) -> AsyncIterator[dict[str, list[datetime]]]:
    """When each contract's notice was fired, by its subject, as far as the events have come; copies count once."""
    fired: dict[str, list[datetime]] = {}
    seen: set[str] = set()

    def note(body: bytes) -> None:
        event = json.loads(body)
        if event["id"] not in seen:
            seen.add(event["id"])
            subject = f"contract:{event['data']['contract_id']}"
            fired.setdefault(subject, []).append(datetime.fromisoformat(event["time"]))

    async def listen() -> None:
        while True:
            with suppress(Exception):
                async with await aio_pika.connect(url, timeout=5) as connection:
                    channel = await connection.channel()
                    queue = await channel.declare_queue(FIRED, durable=True, arguments={"x-queue-type": "quorum"})
                    await queue.bind("spacehub.events", "contract.expiring")
                    listening.set()
                    async with queue.iterator() as messages:
                        async for message in messages:
                            note(message.body)
                            await message.ack()
            await asyncio.sleep(0.5)

    listening = asyncio.Event()
    task = asyncio.create_task(listen())
    try:
        async with asyncio.timeout(30):
            await listening.wait()
        yield fired
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        async with await aio_pika.connect(url, timeout=10) as connection:
            await (await connection.channel()).queue_delete(FIRED)


def _judge(due: Mapping[str, datetime], fired: Mapping[str, Sequence[datetime]]) -> float:
    """Seconds by which the latest was late. Fails where one fired twice, too early, or not at all."""
    assert fired.keys() == due.keys(), f"{len(due.keys() - fired.keys())} timers did not fire"
    twice = [subject for subject, times in fired.items() if len(times) > 1]
    assert not twice, f"{len(twice)} timers fired twice"
    lateness = [(fired[subject][0] - at).total_seconds() for subject, at in due.items()]
    assert min(lateness) >= 0, f"a timer fired {-min(lateness):.1f} s too early"
    assert max(lateness) < SHIFT.total_seconds() / 2, f"a timer fired {max(lateness):.0f} s late"
    return max(lateness)


def _library() -> Path | None:
    return next(iter(Path("/usr/lib").glob("*/faketime/libfaketime.so.1")), None)


CLOCKS = [
    Experiment(
        "clocks apart",
        "three brokers, two schedulers with clocks 5 minutes ahead and behind: one scheduler and the leader killed",
        schedulers_apart,
        Load(200, 400, 20, seed=94),
        allowed=IN_DOUBT,
        setting=THREE_NODES,
    )
]
