"""Faults of PostgreSQL and RabbitMQ: killed, frozen, slow, full, cut off, or with something deleted."""

import asyncio
import re
from random import Random
from time import monotonic
from typing import Any

from spacehub.testing.waiting import eventually

from tests.faults.faults import Fault, restarted
from tests.faults.load import Offering
from tests.faults.world import World, names_of

COMMITTED = b"Z\x00\x00\x00\x05I"
"""ReadyForQuery outside a transaction: what went before is committed (PostgreSQL's protocol, message formats)."""
TIMED_OUT = re.compile("timed out waiting for (?:delivery|a consumer) ack")
"""What RabbitMQ 3.10 and 4.0 log when they take a message away from a consumer."""
COMPLETE = (b"INSERT 0 ", b"UPDATE ", b"DELETE ", b"SELECT ", b"COMMIT")


async def broker_killed(world: World, _: Offering) -> str:
    """kill -9 of RabbitMQ in mid-publish: it stands still for a second first, so that what came meanwhile is lost."""
    world.rabbitmq.suspend()
    await asyncio.sleep(1)
    return await _killed(world, world.rabbitmq)


async def database_killed(world: World, _: Offering) -> str:
    """kill -9 of PostgreSQL with all its backends."""
    return await _killed(world, world.system.backing.postgres)


async def _killed(world: World, server: Any) -> str:
    began = monotonic()
    before = server.pid
    await asyncio.to_thread(server.kill)
    await eventually(lambda: server.pid not in (None, before), within=60, because="the server should be back")
    for name in names_of(world):
        await world.ready(name)
    return f"every process ready again after {monotonic() - began:.1f} s"


def broker_suspended(seconds: float) -> Fault:
    """SIGSTOP of RabbitMQ, SIGCONT later."""

    async def fault(world: World, _: Offering) -> str:
        world.rabbitmq.suspend()
        try:
            await asyncio.sleep(seconds)
        finally:
            world.rabbitmq.resume()
        return f"silent for {seconds:g} s"

    return fault


async def memory_alarm(world: World, _: Offering) -> str:
    """RabbitMQ finds its memory full and reads from no publisher."""
    return await _alarm(world, ["set_vm_memory_high_watermark", "0"], ["set_vm_memory_high_watermark", "0.4"])


async def disk_alarm(world: World, _: Offering) -> str:
    """RabbitMQ finds its disk full."""
    return await _alarm(world, ["set_disk_free_limit", "900000GB"], ["set_disk_free_limit", "50MB"])


async def _alarm(world: World, on: list[str], off: list[str]) -> str:
    began = monotonic()
    await world.control(*on)
    try:

        async def is_off() -> bool:
            return (await world.control("eval", "rabbit_alarm:get_alarms().")).strip() != "[]"

        await eventually(is_off, within=30, every=0.5, because="the alarm should go off")
        await asyncio.sleep(10)
    finally:
        await world.control(*off)
    return f"publishers blocked for {monotonic() - began:.0f} s"


def binding_deleted(exchange: str, queue: str, key: str) -> Fault:
    """A binding is deleted; `topology keep` makes it again."""

    async def fault(world: World, _: Offering) -> str:
        path = f"/api/bindings/%2F/e/{exchange}/q/{queue}"
        began = monotonic()
        await world.manage("DELETE", f"{path}/{key}")

        async def is_back() -> bool:
            return any(binding["routing_key"] == key for binding in (await world.manage("GET", path)).json())

        await eventually(is_back, within=60, every=0.1, because=f"{queue} should be bound again")
        return f"bound again after {monotonic() - began:.1f} s"

    return fault


def queue_deleted(queue: str, *, without: str) -> Fault:
    """A queue is deleted under its consumer, with what waits in it; `topology keep` makes it again.

    The process `without` stands still for a while before that, so that something does wait.
    """

    async def fault(world: World, _: Offering) -> str:
        world.system.programs[without].suspend()

        async def some_wait() -> int:
            held = (await world.queues())[queue]
            return held if held > 20 else 0

        try:
            held = await eventually(some_wait, because=f"messages should wait in {queue}")
        finally:
            world.system.programs[without].resume()
        began = monotonic()
        await world.manage("DELETE", f"/api/queues/%2F/{queue}")

        async def is_back() -> bool:
            return queue in await world.queues()

        await eventually(is_back, within=60, every=0.1, because=f"{queue} should be there again")
        return f"about {held} messages went with it; declared again after {monotonic() - began:.1f} s"

    return fault


def database_slow(delay: float, seconds: float) -> Fault:
    """Every answer of PostgreSQL comes later."""

    async def fault(world: World, _: Offering) -> str:
        world.database.delay = delay
        await asyncio.sleep(seconds)
        world.database.delay = 0.0
        return f"each answer {delay * 1000:g} ms later, for {seconds:g} s"

    return fault


def commits_unheard(every: int, seconds: float) -> Fault:
    """Of the answers that tell of a commit, about one of `every` is lost together with its connection."""

    async def fault(world: World, _: Offering) -> str:
        chance = Random(every)
        lost = 0

        def loses(answer: bytes) -> bool:
            nonlocal lost
            committed = answer.endswith(COMMITTED) and any(word in answer for word in COMPLETE)
            if committed and chance.randrange(every) == 0:
                lost += 1
                return True
            return False

        world.database.loses = loses
        await asyncio.sleep(seconds)
        world.database.loses = lambda _: False
        return f"{lost} commits whose answer was lost, in {seconds:g} s"

    return fault


def consumer_timeout(milliseconds: int, latency_ms: int, seconds: float) -> Fault:
    """The broker takes messages away from a sender that needs longer than it allows: the gateway answers late."""

    async def fault(world: World, offering: Offering) -> str:
        await _allow(world, offering, timeout=milliseconds, look=1000)
        await world.behave(latency_ms=latency_ms)
        await asyncio.sleep(seconds)
        await world.behave()
        await _allow(world, offering, timeout=1_800_000, look=60_000)
        log = world.system.directory / "logs" / "rabbitmq.log"
        timeouts = len(TIMED_OUT.findall(await asyncio.to_thread(log.read_text, errors="replace")))
        assert timeouts, "the broker should have lost its patience"
        return f"{milliseconds} ms allowed, {latency_ms} ms needed; the broker closed {timeouts} channels"

    return fault


async def _allow(world: World, offering: Offering, *, timeout: int, look: int) -> None:
    """Have the broker allow its consumers so many milliseconds; it counts for channels opened from now on."""
    for name, value in (("consumer_timeout", timeout), ("channel_tick_interval", look)):
        await world.control("eval", f"application:set_env(rabbit, {name}, {value}).")
    senders = ("sms-sender consume", "sms-sender consume critical")
    await asyncio.gather(*(restarted(name)(world, offering) for name in senders))
