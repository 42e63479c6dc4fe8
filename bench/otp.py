"""How long a code takes from publish to gateway while nothing waits and while bills do, in the running system."""

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from statistics import quantiles

from aiohttp import web
from spacehub.confirming import Confirm, Outgoing
from spacehub.events.catalogue import EVENTS_EXCHANGE
from spacehub.events.envelope import STRUCTURED
from spacehub.rabbit import Publisher
from spacehub.testing.waiting import eventually

from bench.ground import Ground, port
from bench.measuring import Findings, Goal
from tests.faults.load import Load, Offering
from tests.faults.otp_first import Carrier
from tests.faults.world import Setting, World, open_world

WAITING = (0, 20_000, 100_000)
CODES = 300
PER_SECOND = 12.0
GOAL_MS = 250.0
BATCH = 500


async def measure(ground: Ground) -> Findings:
    """One system; more and more bills wait in it, each taking 50 ms at the gateway."""
    carrier = Carrier()
    app = web.Application()
    app.add_routes([web.post("/sms", carrier.sms)])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    async with port() as number:
        await web.TCPSite(runner, "127.0.0.1", number).start()
        told = {"URL": f"http://127.0.0.1:{number}/sms", "USERNAME": "bench", "PASSWORD": "bench"}
        setting = Setting(
            environment=tuple((f"SMS_SENDER_GATEWAY_{name}", value) for name, value in told.items()),
            wired=False,
            durable=True,
        )
        try:
            async with open_world(ground.directory / "whole", report=ground.report, setting=setting) as world:
                await _codes(world, carrier, Offering("/bench/warm"), 20)
                rows = [await _measured(world, carrier, waiting) for waiting in WAITING]
        finally:
            await runner.cleanup()
    worst = _percentile(rows[-1][1], 99)
    return Findings(
        goals=[Goal(f"p99 with {WAITING[-1]:,} bills waiting", worst, GOAL_MS, at_most=True, unit="ms")],
        head=["bills waiting, first to last code", "codes", "p50", "p99", "longest"],
        rows=[
            [
                waiting,
                f"{len(times)}",
                f"{_percentile(times, 50):.0f} ms",
                f"{_percentile(times, 99):.0f} ms",
                f"{max(times):.0f} ms",
            ]
            for waiting, times in rows
        ],
        notes=[
            "Every process of the system runs, as `make run` starts it, and so do the publisher and the gateway. The"
            " codes begin as soon as the last bill is confirmed."
        ],
    )


async def _measured(world: World, carrier: Carrier, waiting: int) -> tuple[str, list[float]]:
    """Top the bills up to `waiting`, then ask for codes."""
    offering = Offering(f"/bench/otp-{waiting}")
    given = carrier.bills_taken
    if waiting:
        await _publish_bills(world, offering, waiting)

    def left() -> int:
        return max(0, waiting - (carrier.bills_taken - given))

    first = left()
    times = await _codes(world, carrier, offering, CODES)
    return f"{first:,} to {left():,}" if waiting else "none", times


async def _publish_bills(world: World, offering: Offering, total: int) -> None:
    publisher = Publisher(world.amqp_url, name="bench bills")
    try:
        for start in range(0, total, BATCH):
            bills = offering.bills(min(BATCH, total - start), seed=start + 1)
            confirms = await publisher.publish(
                [Outgoing(EVENTS_EXCHANGE, bill.kind, bill.body, bill.id, STRUCTURED) for bill in bills], within=60
            )
            assert set(confirms) == {Confirm.ACKED}
    finally:
        await publisher.close()


async def _codes(world: World, carrier: Carrier, offering: Offering, total: int) -> list[float]:
    """Milliseconds from the call that publishes each code to its request at the gateway."""
    asked: dict[str, datetime] = {}

    async def ask(seed: int) -> None:
        [event] = offering.made(Load(otps=1, bills=0, seed=seed))
        code = json.loads(event.body)["data"]["code"]
        asked[code] = datetime.now(UTC)
        await world.client.publish(offering, event)

    async with asyncio.TaskGroup() as group:
        for number in range(total):
            group.create_task(ask(1_000_000 + number))
            await asyncio.sleep(1 / PER_SECOND)
    await eventually(lambda: asked.keys() <= carrier.taken.keys(), within=180, because="every code should arrive")
    return [(carrier.taken[code] - at) / timedelta(milliseconds=1) for code, at in asked.items()]


def _percentile(times: Sequence[float], percent: int) -> float:
    return quantiles(times, n=100, method="inclusive")[percent - 1]
