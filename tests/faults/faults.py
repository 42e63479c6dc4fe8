"""Faults of our own processes and commands: killed, restarted, doubled, or fed with poison.

Each is injected, lasts for its while and is healed; it answers what happened, for the report.
"""

import asyncio
import os
import re
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from itertools import cycle
from time import monotonic
from types import MappingProxyType

import aio_pika
import httpx
from spacehub.testing.waiting import eventually
from spacehub_dev.launcher.processes import BIN
from spacehub_dev.launcher.supervising import keep_program
from spacehub_dev.provisioning.ports import release_port, reserve_port
from spacehub_dev.provisioning.program import Program

from tests.faults.load import Offering
from tests.faults.world import World, names_of, spec_of

Fault = Callable[[World, Offering], Awaitable[str]]
"""Called when a third of the load is confirmed; when it returns, the fault is over."""


def killed(*names: str) -> Fault:
    """kill -9 of these processes at once; the launcher starts them again."""

    async def fault(world: World, _: Offering) -> str:
        began = monotonic()
        programs = {name: world.system.programs[name] for name in names}
        before = {name: program.pid for name, program in programs.items()}
        await asyncio.gather(*(asyncio.to_thread(program.kill) for program in programs.values()))
        await asyncio.gather(*(_back(world, name, before[name]) for name in names))
        return f"ready again after {monotonic() - began:.1f} s"

    return fault


def killed_in_mid_call(*names: str, latency_ms: int) -> Fault:
    """kill -9 of senders while the gateway has their texts and has not answered yet."""

    async def fault(world: World, offering: Offering) -> str:
        await world.behave(latency_ms=latency_ms)
        before = len(await world.texts())

        async def some_are_out() -> bool:
            return len(await world.texts()) > before + 5

        await eventually(some_are_out, because="texts should be under way")
        told = await killed(*names)(world, offering)
        await world.behave()
        return f"at least 6 texts in mid-call; {told}"

    return fault


def killed_in_mid_batch(name: str, delay: float) -> Fault:
    """kill -9 of a process that waits for an answer of its database with messages in hand."""

    async def fault(world: World, offering: Offering) -> str:
        world.database.delay = delay
        await asyncio.sleep(2 * delay)
        program = world.system.programs[name]
        before = program.pid
        await asyncio.to_thread(program.kill)
        world.database.delay = 0.0
        await _back(world, name, before)
        return f"PostgreSQL answered {delay * 1000:g} ms late when it was killed"

    return fault


def restarted(name: str) -> Fault:
    """SIGTERM for one process; the launcher starts it again."""

    async def fault(world: World, _: Offering) -> str:
        program = world.system.programs[name]
        before = program.pid
        program.terminate()
        await _back(world, name, before)
        return "ready again"

    return fault


async def rolling_restarts(world: World, offering: Offering) -> str:
    """SIGTERM for one process after the other, the next when the one before is ready again."""
    began = monotonic()
    for name in names_of(world):
        await restarted(name)(world, offering)
    return f"{len(names_of(world))} processes restarted in {monotonic() - began:.0f} s"


async def _back(world: World, name: str, before: int | None) -> None:
    program = world.system.programs[name]
    await eventually(lambda: program.pid not in (None, before), within=40, because=f"{name} should be back")
    await world.ready(name)


async def tasks_sabotaged(world: World, _: Offering) -> str:
    """Every long task of every process ends as nobody foresaw: first by a stray cancellation, then by an error."""
    ended = 0
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        for name in names_of(world):
            before = await _restarts(world, name)
            os.kill(world.system.programs[name].pid or 0, number)
            await eventually(partial(_restarted, world, name, before), within=30, every=0.2, because=name)
            ended += len(before) or 1
    return f"{ended} times a long task was ended, and came back each time"


async def _restarted(world: World, name: str, before: Mapping[str, float]) -> bool:
    """Whether each task of the process that counts its restarts has one more; one without a page must be alive."""
    now = await _restarts(world, name)
    return world.system.programs[name].alive() and all(now.get(task, 0) > count for task, count in before.items())


async def _restarts(world: World, name: str) -> dict[str, float]:
    """How often each long task of a process was started again, by its own metrics."""
    port = spec_of(world, name).port
    if port is None:
        return {}
    try:
        page = (await world.http.get(f"http://127.0.0.1:{port}/metrics")).text
    except httpx.HTTPError:
        return {}
    tasks = re.findall(r'^spacehub_task_running{task="(.+)"} ', page, re.MULTILINE)
    counts = dict(re.findall(r'^spacehub_task_restarts_total{task="(.+)"} (.+)$', page, re.MULTILINE))
    return {task: float(counts.get(task, 0)) for task in tasks}


def three_forwarders(*, kills: int, every: float) -> Fault:
    """Two more forwarders of inbox-api; then one of the three is killed again and again."""

    async def fault(world: World, _: Offering) -> str:
        name = "inbox-api forward"
        async with another(world, name, 2) as second, another(world, name, 3) as third:
            victims = cycle([world.system.programs[name], second, third])
            for _number, victim in zip(range(kills), victims, strict=False):
                await asyncio.sleep(every)
                await asyncio.to_thread(victim.kill)
        await world.ready(name)
        return f"{kills} kills, one every {every:g} s"

    return fault


@asynccontextmanager
async def another(
    world: World, name: str, number: int, *, told: Mapping[str, str] = MappingProxyType({})
) -> AsyncIterator[Program]:
    """One more process like `name`, `told` other things besides, and started again whenever it ends."""
    spec = spec_of(world, name)
    port = reserve_port()
    prefix = name.split()[0].replace("-", "_").upper()
    directory = world.system.directory
    told = {
        **os.environ,
        **dict(world.setting.environment),
        **spec.environment,
        f"{prefix}_HEALTH_PORT": str(port),
        **told,
    }
    log = directory / "logs" / f"{name.replace(' ', '-')}-{number}.log"
    program = Program(f"{name} {number}", spec.command, directory, log, told, cwd=directory)
    program.start()
    keeping = asyncio.create_task(keep_program(program, restarted=lambda: None, report=lambda _: None))
    try:
        yield program
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        await asyncio.to_thread(program.stop)
        release_port(port)


def poison(count: int) -> Fault:
    """So many messages that nobody can read, half of them where codes arrive, half where bills do."""
    nobody = b'{"specversion":"1.0","id":"1","source":"/x","type":"mn.spacehub.nonsense","data":{}}'
    bodies = [b"{", b"[]", b"\xff\xfe", nobody]

    async def fault(world: World, _: Offering) -> str:
        for number in range(count):
            key = "otp.requested" if number % 2 else "bill.issued"
            body = bodies[number // 2 % len(bodies)]
            assert await world.client.put(body, f"poison-{number}", exchange="spacehub.events", key=key)
        return f"{count} messages that are no event"

    return fault


def redriven_twice(letters: int) -> Fault:
    """Bills lie among the dead letters; two redrives at once, one of them killed half-way; then a third."""

    async def fault(world: World, offering: Offering) -> str:
        dead = "inbox-api.standard.dead"
        told = {"x-reason": "unexpected: RuntimeError", "x-attempts": 6, "x-origin-queue": "inbox-api.standard"}
        for bill in offering.bills(letters, seed=99):
            await world.client.publish(offering, bill, exchange="", key=dead, headers=told)
        killed, other = [_redrive(world, number) for number in (1, 2)]
        killed.start()
        other.start()
        async with _depth(world, dead) as left:
            await eventually(partial(_at_most, left, letters // 2), within=60, every=0.1)
            assert killed.alive(), killed.last_lines()
            await asyncio.to_thread(killed.kill)
        await eventually(lambda: not other.alive(), within=60)
        last = _redrive(world, 3)
        last.start()
        await eventually(lambda: not last.alive(), within=60)
        said = ", ".join(one.last_lines(1).split(" sent back")[0] for one in (other, last))
        return f"{letters} dead bills; the two that were not killed sent {said}"

    return fault


def _redrive(world: World, number: int) -> Program:
    command = [str(BIN / "spacehub"), "dead", "redrive", "inbox-api.standard", "--rate", "4"]
    log = world.system.directory / "logs" / f"redrive-{number}.log"
    told = {**os.environ, "SPACEHUB_AMQP_URL": world.amqp_url, "PYTHONUNBUFFERED": "1"}
    return Program(f"redrive {number}", command, world.system.directory, log, told, cwd=world.system.directory)


@asynccontextmanager
async def _depth(world: World, queue: str) -> AsyncIterator[Callable[[], Awaitable[int]]]:
    """Asks the broker how many messages of `queue` nobody has in hand."""
    async with await aio_pika.connect(world.amqp_url, timeout=10) as connection:
        channel = await connection.channel()

        async def count() -> int:
            found = await channel.declare_queue(queue, passive=True, timeout=10)
            return found.declaration_result.message_count or 0

        yield count


async def _at_most(left: Callable[[], Awaitable[int]], most: int) -> bool:
    return await left() <= most
