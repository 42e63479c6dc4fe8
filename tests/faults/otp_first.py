"""How long a code takes from publish to gateway while 20,000 bills wait: a measurement, not a pass or a failure."""

import asyncio
import os
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import quantiles
from typing import Literal

from aiohttp import web
from spacehub.testing.waiting import eventually
from spacehub_dev.provisioning.ports import release_port, reserve_port
from spacehub_dev.provisioning.servers import Report

from tests.faults.load import Load, Offering
from tests.faults.world import Setting, World, open_world

Bills = Literal["are sent", "are refused", "hang"]
CONDITIONS: Mapping[Bills, str] = {
    "are sent": "the gateway takes each bill in 50 ms",
    "are refused": "the gateway answers bills with 503, so the standard lane rests",
    "hang": "the gateway says nothing to bills, so the standard lane hangs",
}
WAITING = 20_000
CODES = 300
PER_SECOND = 10.0
GOAL_MS = 500.0


@dataclass(frozen=True)
class Measured:
    """Milliseconds from the call that publishes a code to its request at the gateway."""

    bills: Bills
    waiting_first: int
    waiting_last: int
    codes: int
    p50: float
    p99: float
    longest: float
    load: float
    """The machine's load average over the last minute, whoever caused it."""
    legs: Mapping[str, float]
    """The p99 of each part of the way: to inbox-api, from there to the claim in sms-sender, and to the gateway."""

    @property
    def line(self) -> str:
        return (
            f"OTPs while {self.waiting_first} to {self.waiting_last} bills wait and {self.bills}:"
            f" p50 {self.p50:.0f} ms, p99 {self.p99:.0f} ms, longest {self.longest:.0f} ms of {self.codes};"
            f" load {self.load:.0f}; p99 {', '.join(f'{name} {leg:.0f} ms' for name, leg in self.legs.items())}"
        )


class Carrier:
    """A gateway that treats bills as told, takes every code at once and notes when."""

    def __init__(self) -> None:
        self.bills: Bills = "are sent"
        self.taken: dict[str, datetime] = {}
        self.bills_taken = 0

    async def sms(self, request: web.Request) -> web.Response:
        arrived = datetime.now(UTC)
        form = await request.post()
        code = re.search(r"код: (\d+)", str(form["text"]))
        if code:
            self.taken.setdefault(code[1], arrived)
        elif self.bills == "are refused":
            return web.json_response({"result": "ERROR", "code": "UNAVAILABLE"}, status=503)
        elif self.bills == "hang":
            await asyncio.sleep(60)
        else:
            self.bills_taken += 1
            await asyncio.sleep(0.05)
        return web.json_response({"result": "OK", "messageId": f"m-{arrived.timestamp()}"})


async def measure(directory: Path, *, report: Report) -> AsyncIterator[Measured]:
    """One measurement for each condition, each on a system of its own that begins empty."""
    port = reserve_port()
    carrier = Carrier()
    told = {"GATEWAY_URL": f"http://127.0.0.1:{port}/sms", "GATEWAY_USERNAME": "faults", "GATEWAY_PASSWORD": "faults"}
    setting = Setting(environment=tuple((f"SMS_SENDER_{name}", value) for name, value in told.items()), wired=False)
    async with _served(carrier, port):
        for bills in CONDITIONS:
            carrier.bills, carrier.bills_taken = bills, 0
            async with open_world(directory, report=report, setting=setting) as world:
                yield await _measured(world, carrier)
    release_port(port)


async def _measured(world: World, carrier: Carrier) -> Measured:
    offering = Offering("/faults/otp-first")
    sender = world.system.programs["sms-sender consume"]
    sender.suspend()  # so that all of them wait when the first code comes
    try:
        await world.client.offer(offering, Load(otps=0, bills=WAITING, per_second=1e6))
    finally:
        sender.resume()
    first = WAITING - carrier.bills_taken
    asked: dict[str, tuple[str, datetime]] = {}

    async def ask(load: Load) -> None:
        [code] = offering.made(load)
        asked[code.id] = str(code.number), datetime.now(UTC)
        await world.client.publish(offering, code)

    async with asyncio.TaskGroup() as group:
        for number in range(CODES):
            group.create_task(ask(Load(otps=1, bills=0, seed=number)))
            await asyncio.sleep(1 / PER_SECOND)
    last = WAITING - carrier.bills_taken
    codes = {code for code, _ in asked.values()}
    await eventually(lambda: codes <= carrier.taken.keys(), within=60, because="every code should arrive")
    read = await world.rows("inbox", "SELECT event_id, created_at FROM deliveries WHERE type = 'otp.requested'")
    claimed = await world.rows("sms", "SELECT source_id, attempt_started_at FROM sms WHERE about = 'otp.requested'")
    taken_in = {row["event_id"]: row["created_at"] for row in read}
    claims = {row["source_id"]: row["attempt_started_at"] for row in claimed}
    ways = [(at, taken_in[event], claims[event], carrier.taken[code]) for event, (code, at) in asked.items()]
    whole = sorted(_milliseconds(first, last) for first, *_, last in ways)
    names = ("to inbox-api", "to the claim", "to the gateway")
    legs = {name: _p99([_milliseconds(way[place], way[place + 1]) for way in ways]) for place, name in enumerate(names)}
    p50 = quantiles(whole, n=100, method="inclusive")[49]
    return Measured(carrier.bills, first, last, len(whole), p50, _p99(whole), whole[-1], os.getloadavg()[0], legs)


def _p99(times: Sequence[float]) -> float:
    return quantiles(times, n=100, method="inclusive")[98]


def _milliseconds(start: datetime, end: datetime) -> float:
    return (end - start) / timedelta(milliseconds=1)


@asynccontextmanager
async def _served(carrier: Carrier, port: int) -> AsyncIterator[None]:
    app = web.Application()
    app.add_routes([web.post("/sms", carrier.sms)])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield
    finally:
        await runner.cleanup()
