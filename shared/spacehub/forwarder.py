"""The forwarder: publishes committed outbox rows and deletes those that the broker has confirmed.

At least once: a row is deleted only after a real ack, so a forwarder that dies between confirm and delete repeats a
message under the same id. Any number of forwarders may run: each takes rows that no other holds. The lanes have a loop,
a database connection and a broker connection each, so a critical row never waits behind a batch.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, Protocol

import asyncpg
import structlog
from prometheus_client import Counter, Gauge, Histogram

from spacehub import database, outbox
from spacehub.confirming import Confirm, Outgoing
from spacehub.errors import Away
from spacehub.events.cause import trace_id_of, traceparent_in
from spacehub.health import Check
from spacehub.outbox import Lane
from spacehub.rabbit import Publisher
from spacehub.running import Backoff, Task, happens
from spacehub.secret import Secret
from spacehub.settings import ServiceSettings
from spacehub.tracing import spans

log = structlog.get_logger()

BATCH = 500
GIVE_UP = 5.0
"""Seconds: the one transaction that spans network calls is held no longer."""
POLL = {"critical": 1.0, "standard": 0.05}
"""Seconds between looks into an empty lane; the critical lane is woken by NOTIFY besides."""
PUSH_BACK = timedelta(seconds=30)
"""How long a row that no queue is bound for waits for its next try."""
ASIDE = timedelta(seconds=5)
"""How long a row that the broker refused stands aside, so that rows for other queues are not stuck behind it."""

_FORWARDED = Counter("spacehub_outbox_forwarded", "Outbox rows published, by the broker's answer", ["lane", "confirm"])
_OLDEST = Gauge("spacehub_outbox_oldest_seconds", "Age of the oldest outbox row that is due", ["lane"])
_WAITING = Gauge("spacehub_outbox_due_rows", "Outbox rows that are due", ["lane"])
_PAUSED = Gauge("spacehub_forwarder_paused", "1 while a lane waits for the broker or the database", ["lane"])
_ROUND = Histogram(
    "spacehub_forward_seconds",
    "Time to publish a batch, have it confirmed and delete it",
    ["lane"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)
_WAITED = Histogram(
    "spacehub_outbox_waited_seconds",
    "Time from when the oldest row of a batch was due until it was taken",
    ["lane"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300, 3600),
)

_TAKE = """
SELECT id, message_id, exchange, routing_key, content_type, headers, body,
    extract(epoch FROM clock_timestamp() - available_at)::float AS waited
FROM outbox WHERE lane = $1 AND available_at <= now()
ORDER BY available_at, id LIMIT $2
FOR UPDATE SKIP LOCKED"""
_DELETE = "DELETE FROM outbox WHERE id = ANY($1::bigint[])"
_PUSH_BACK = """
UPDATE outbox SET available_at = clock_timestamp() + $2::interval, returns = returns + $3
WHERE id = ANY($1::bigint[])"""
_LAG = """
SELECT lane, count(*) AS waiting, extract(epoch FROM now() - min(available_at))::float AS oldest
FROM outbox WHERE available_at <= now() GROUP BY lane"""


class Publishing(Protocol):
    """The part of a publisher that forwarding needs."""

    async def publish(self, messages: Sequence[Outgoing], *, within: float = ...) -> list[Confirm]: ...


@dataclass(frozen=True, slots=True)
class Forwarded:
    """What one round did: rows taken, published for good, returned by the broker as unroutable, and refused."""

    taken: int
    acked: int
    returned: int
    refused: int


async def forward(connection: Any, *, lane: Lane, publisher: Publishing, batch: int = BATCH) -> Forwarded:
    """Publish up to `batch` due rows of `lane`, delete those confirmed. Raises Away when broker or database is gone."""
    async with connection.transaction():
        rows = await connection.fetch(_TAKE, lane, batch)
        if not rows:
            return Forwarded(0, 0, 0, 0)
        began = time.time_ns()
        messages = [_outgoing(row) for row in rows]
        confirms = await publisher.publish(messages, within=GIVE_UP)
        ended: dict[Confirm, list[int]] = {confirm: [] for confirm in Confirm}
        for row, confirm in zip(rows, confirms, strict=True):
            ended[confirm].append(row["id"])
        if acked := ended[Confirm.ACKED]:
            await connection.execute(_DELETE, acked)
        if returned := ended[Confirm.RETURNED]:
            await connection.execute(_PUSH_BACK, returned, PUSH_BACK, 1)
        if refused := ended[Confirm.REFUSED]:
            await connection.execute(_PUSH_BACK, refused, ASIDE, 0)
    _ROUND.labels(lane).observe((time.time_ns() - began) / 1e9)
    _WAITED.labels(lane).observe(max(0.0, rows[0]["waited"]))
    for confirm, ids in ended.items():
        _FORWARDED.labels(lane, confirm.value).inc(len(ids))
    for message, confirm in zip(messages, confirms, strict=True):
        if confirm is Confirm.RETURNED:
            log.error(
                "unroutable",
                exchange=message.exchange,
                routing_key=message.routing_key,
                event_id=message.message_id,
                trace_id=trace_id_of(traceparent_in(message.body)),
            )
    if spans.are_recorded():
        _trace(lane, rows, messages, confirms, began)
    if refused:
        log.error("refused", lane=lane, rows=len(refused))
    if ended[Confirm.UNCERTAIN]:
        raise Away("rabbitmq: not every message was confirmed")
    return Forwarded(taken=len(rows), acked=len(acked), returned=len(returned), refused=len(refused))


def forwarding(lane: Lane, *, database_url: Secret, publisher: Publishing, poll: float | None = None) -> Task:
    """A long task that empties one lane of the outbox, looking every `poll` seconds whether there is more."""

    async def keep_forwarding(stopping: asyncio.Event) -> None:
        backoff = Backoff()
        while not stopping.is_set():
            try:
                connection = await database.connect(database_url)
                try:
                    await _empty(connection, lane, publisher, stopping, backoff, POLL[lane] if poll is None else poll)
                finally:
                    await _close(connection)
            except Away as away:
                _PAUSED.labels(lane).set(1)
                log.warning("forwarder_paused", lane=lane, reason=str(away))
                await backoff.wait(stopping)

    return keep_forwarding


async def _empty(
    connection: "asyncpg.Connection[asyncpg.Record]",
    lane: Lane,
    publisher: Publishing,
    stopping: asyncio.Event,
    backoff: Backoff,
    poll: float,
) -> None:
    wake = asyncio.Event()
    stop = asyncio.create_task(stopping.wait())
    stop.add_done_callback(lambda _: wake.set())
    try:
        async with database.mapped():
            if lane == "critical":
                await connection.add_listener(outbox.WAKE_UP, lambda *_: wake.set())
            while not stopping.is_set():
                wake.clear()
                done = await forward(connection, lane=lane, publisher=publisher)
                _PAUSED.labels(lane).set(0)
                backoff.reset()
                if done.taken < BATCH and not stopping.is_set():
                    await happens(wake, within=poll)
    finally:
        stop.cancel()


@asynccontextmanager
async def emptying(
    service: str, settings: ServiceSettings, *, lanes: Sequence[Lane] = ("critical", "standard")
) -> AsyncIterator[tuple[dict[str, Task], dict[str, Check]]]:
    """The long tasks that empty and watch the outbox of `service`, and what its readiness depends on."""
    url = settings.database_url.get_secret_value
    tasks: dict[str, Task] = {"watch outbox": watching(database_url=url)}
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(database.pooled(url, size=1))
        checks: dict[str, Check] = {"database": partial(database.answers, pool)}
        for lane in lanes:
            publisher = Publisher(settings.amqp_url.get_secret_value, name=f"{service} forward {lane}")
            stack.push_async_callback(publisher.close)
            tasks[f"forward {lane}"] = forwarding(lane, database_url=url, publisher=publisher)
            checks[f"broker {lane}"] = publisher.answers
        yield tasks, checks


def watching(*, database_url: Secret, every: float = 5.0) -> Task:
    """A long task that measures how much is due in the outbox and how long it has waited."""

    async def watch(stopping: asyncio.Event) -> None:
        async with database.pooled(database_url, size=1) as pool:
            while not stopping.is_set():
                try:
                    await _measure(pool)
                except Away as away:
                    log.warning("outbox_not_measured", reason=str(away))
                await happens(stopping, within=every)

    return watch


async def _measure(pool: "asyncpg.Pool[asyncpg.Record]") -> None:
    async with database.reading(pool) as connection:
        due = {row["lane"]: row for row in await connection.fetch(_LAG)}
    for lane in POLL:
        _WAITING.labels(lane).set(due[lane]["waiting"] if lane in due else 0)
        _OLDEST.labels(lane).set(due[lane]["oldest"] if lane in due else 0)


def _trace(
    lane: Lane, rows: Sequence[Any], messages: Sequence[Outgoing], confirms: Sequence[Confirm], began: int
) -> None:
    """A span for each message that says which trace it belongs to."""
    for row, message, confirm in zip(rows, messages, confirms, strict=True):
        if (traceparent := traceparent_in(message.body)) is not None:
            waited = round(row["waited"], 3)
            spans.sent(
                message, traceparent=traceparent, began=began, lane=lane, waited_seconds=waited, confirm=confirm.value
            )


def _outgoing(row: Any) -> Outgoing:
    return Outgoing(
        exchange=row["exchange"],
        routing_key=row["routing_key"],
        body=row["body"],
        message_id=row["message_id"],
        content_type=row["content_type"],
        headers=row["headers"],
    )


async def _close(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    try:
        await connection.close(timeout=2)
    except Exception:
        connection.terminate()
