"""The way from outbox row to gateway: forwarder, broker and sms-sender with its ledger, against a Celery relay."""

import hashlib
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import asyncpg
from inbox_api.app import MIGRATIONS as INBOX
from sms_sender.app import MIGRATIONS as SMS
from spacehub import database, migrating
from spacehub.testing.waiting import eventually

from bench.ground import Ground, Sink, output
from bench.measuring import Findings, Goal, Meter, Sample, Unavailable, Way, in_turns, middle, ratio, spread
from bench.requests import fill, outbox_rows

PEER = Path(__file__).parent / "peer_celery"
IN_FLIGHT = 200
POSSIBLE = IN_FLIGHT / 0.1
"""Texts a second at 100 ms with so many in flight."""
BULLMQ = 3750.0
"""Jobs a second, measured elsewhere on two cores: a relay to BullMQ on Redis, workers with undici, no ledger."""

OURS, CELERY = "ours, with the ledger", "Celery"


@dataclass(frozen=True, slots=True)
class Chain:
    """Running processes that bring rows of the outbox at `url` to `sink`; `done` says how many have their end."""

    url: str
    sink: Sink
    pids: Sequence[int]
    done: Any


async def measure(ground: Ground) -> Findings:
    """Both ways on the same broker and database server, with a fast gateway and with one that takes 100 ms."""
    python = await _celery(ground)
    servers = [pid for pid in ((await ground.postgres()).pid, (await ground.rabbitmq()).pid) if pid is not None]
    rows: list[Sequence[str]] = []
    found: dict[int, dict[str, list[Sample]]] = {}
    for delay, ours_total, peer_total in ((0, 6000, 2000), (100, 6000, 3000)):
        async with AsyncExitStack() as stack:
            ours = await stack.enter_async_context(_ours(ground, delay))
            peer = await stack.enter_async_context(_peer(ground, delay, python))
            busy: dict[str, list[Sample]] = {OURS: [], CELERY: []}
            ways = {
                OURS: _way(ours, ours_total, servers, busy[OURS]),
                CELERY: _way(peer, peer_total, servers, busy[CELERY]),
            }
            for way in ways.values():
                await way()  # connections, caches, the first plans
            for warm in busy.values():
                warm.clear()
            found[delay] = await in_turns(ways)
        rows += [
            [
                f"{delay} ms",
                name,
                spread(samples),
                f"{middle(samples, _cpu):,.0f}",
                f"{middle(busy[name], _cpu):,.0f}" if servers else "not ours to see",
                f"{middle(samples, lambda one: one.mib):,.0f}",
            ]
            for name, samples in found[delay].items()
        ]
    fast, slow = found[0], found[100]
    return Findings(
        goals=[
            Goal("jobs per second of our CPU, ours / Celery", ratio(fast[CELERY], fast[OURS], _cpu), 3),
            Goal("the same at 100 ms", ratio(slow[CELERY], slow[OURS], _cpu), 3),
            Goal("jobs/s, ours / Celery", ratio(fast[OURS], fast[CELERY])),
            Goal("jobs/s at 100 ms of what 200 in flight allow", middle(slow[OURS]) / POSSIBLE, 0.7),
            Goal("jobs/s of BullMQ's 3,750, measured elsewhere without a ledger", middle(fast[OURS]) / BULLMQ, 1),
        ],
        head=["gateway", "way", "jobs/s", "µs of its own CPU a job", "µs of the servers' CPU a job", "MiB"],
        rows=rows,
        notes=[
            f"Ours: `inbox-api forward` and `sms-sender consume standard`, at most {IN_FLIGHT} texts at the gateway,"
            " until the outcome and its event are committed. Celery: a relay in batches of 500 with confirms and a"
            " worker with `requests`, late acks and a quorum queue; prefork with 4 processes at 0 ms, gevent with"
            f" {IN_FLIGHT} greenlets at 100 ms."
        ],
    )


def _cpu(sample: Sample) -> float:
    return sample.cpu_each


def _way(chain: Chain, total: int, servers: Sequence[int], busy: list[Sample]) -> Way:
    """Fill the outbox at one moment, and time until the gateway has had every text; CPU until each has its end."""

    async def way() -> Sample:
        connection = await database.connect(chain.url)
        rows = outbox_rows(total)
        taken, done = await chain.sink.taken(), await chain.done()
        serving, meter, began = Meter(servers), Meter(chain.pids), time.perf_counter()
        await fill(connection, rows, empty=False)
        await eventually(
            lambda: _reached(chain.sink, taken + total), within=120, every=0.01, because="all texts should arrive"
        )
        seconds = time.perf_counter() - began

        async def ended() -> bool:
            return bool(await chain.done() >= done + total)

        await eventually(ended, within=30, every=0.02, because="all texts should have their end")
        busy.append(serving.read(total))
        await connection.close()
        return replace(meter.read(total), seconds=seconds)

    return way


async def _reached(sink: Sink, wanted: int) -> bool:
    return await sink.taken() >= wanted


@asynccontextmanager
async def _ours(ground: Ground, delay: int) -> AsyncIterator[Chain]:
    async with AsyncExitStack() as stack:
        inbox = await stack.enter_async_context(ground.database(lambda url: migrating.upgrade(INBOX, url)))
        ledger = await stack.enter_async_context(ground.database(lambda url: migrating.upgrade(SMS, url)))
        vhost = await stack.enter_async_context(ground.vhost())
        sink = await stack.enter_async_context(ground.sink(delay_ms=delay))
        told = {"DATABASE_URL": inbox, "AMQP_URL": vhost.amqp_url}
        forward = await stack.enter_async_context(ground.ours("inbox-api forward", told))
        told = {
            "DATABASE_URL": ledger,
            "AMQP_URL": vhost.amqp_url,
            "GATEWAY_URL": f"{sink.url}/sms",
            "GATEWAY_USERNAME": "bench",
            "GATEWAY_PASSWORD": "bench",
            "STANDARD_CONCURRENCY": str(IN_FLIGHT),
        }
        sender = await stack.enter_async_context(ground.ours("sms-sender consume standard", told))
        connection = await asyncpg.connect(ledger)
        stack.push_async_callback(connection.close)

        async def done() -> Any:
            return await connection.fetchval("SELECT count(*) FROM sms WHERE status = 'sent'")

        yield Chain(inbox, sink, [forward, sender], done)


@asynccontextmanager
async def _peer(ground: Ground, delay: int, python: Path) -> AsyncIterator[Chain]:
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(ground.database(lambda url: migrating.upgrade(INBOX, url)))
        vhost = await stack.enter_async_context(ground.vhost())
        sink = await stack.enter_async_context(ground.sink(delay_ms=delay))
        told = {
            "AMQP_URL": vhost.amqp_url,
            "DATABASE_URL": url,
            "GATEWAY_URL": f"{sink.url}/sms",
            "PREFETCH_MULTIPLIER": "1" if delay else "50",
        }
        pool = ["--pool", "gevent", "-c", str(IN_FLIGHT)] if delay else ["--pool", "prefork", "-c", "4"]
        quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat", "-l", "WARNING"]
        worker = [str(python), "-m", "celery", "-A", "tasks", "worker", *pool, *quiet]
        pids = [
            await stack.enter_async_context(ground.program(f"celery {name}", command, told, cwd=PEER))
            for name, command in (("worker", worker), ("relay", [str(python), "relay.py"]))
        ]
        yield Chain(url, sink, pids, sink.taken)


async def _celery(ground: Ground) -> Path:
    """A Python with the peer's packages, kept from one run to the next. Raises Unavailable."""
    lock = PEER / "requirements.lock"
    place = Path.cwd() / ".run" / "bench" / hashlib.sha256(lock.read_bytes()).hexdigest()[:12]
    python = place / "bin" / "python"
    if not (place / "ready").exists():
        ground.report("Celery: installing it into an environment of its own")
        try:
            await output([sys.executable, "-m", "venv", "--clear", str(place)])
            install = [str(python), "-m", "pip", "install", "--quiet", "--require-hashes", "-r", str(lock)]
            await output(install)
        except RuntimeError as fault:
            raise Unavailable(f"Celery cannot be installed: {fault}") from None
        (place / "ready").touch()
    return python
