"""The processes of inbox-api: each verb's rooms bound together, for as long as the process runs."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from datetime import UTC, datetime
from functools import partial

import asyncpg
from spacehub import database, health, quiet_hours, running
from spacehub.auth.settings import verifier
from spacehub.consuming import subscription
from spacehub.forwarder import emptying
from spacehub.lending import lending
from spacehub.rabbit import Publisher
from spacehub.settings import ServiceSettings

from inbox_api.checking import Patience, checking
from inbox_api.checking_store import PostgresChecks
from inbox_api.consumers import Deeds, Queue, subscribed
from inbox_api.drafts import Rules
from inbox_api.notices import EVERY_WAY
from inbox_api.notifying import notify
from inbox_api.notifying_store import PostgresStore
from inbox_api.preferring_store import PostgresContacts
from inbox_api.pruning import prune
from inbox_api.pruning_store import PostgresTables
from inbox_api.reading_store import PostgresFeeds
from inbox_api.routes.api import public_api
from inbox_api.seals import Seal
from inbox_api.settings import ApiSettings, Settings
from inbox_api.settling import settle
from inbox_api.settling_store import PostgresDeliveries
from inbox_api.streaming import Limits, Streams
from inbox_api.tracing_store import PostgresRecords


async def serve(settings: ApiSettings) -> None:
    """Answer the app's calls and hold its streams, until told to stop."""
    async with lending(settings.database_url.get_secret_value, size=settings.connections) as pool:
        feeds = PostgresFeeds(pool)
        streams = Streams(
            feeds,
            limits=Limits(
                of_a_user=settings.streams_of_a_user,
                of_the_process=settings.streams_of_the_process,
                look=settings.stream_look,
                heartbeat=settings.stream_heartbeat,
            ),
        )
        api = public_api(
            authenticate=verifier(settings).caller,
            feeds=feeds,
            streams=streams,
            contacts=PostgresContacts(pool),
            records=PostgresRecords(pool),
            phone_key=settings.phone_key,
            clock=_now,
        )
        await running.run(
            {
                "public": health.serving(api, host=settings.http_host, port=settings.http_port),
                "streams": streams.watch,
                "health": _health(settings, {"database": partial(database.answers, pool)}),
            }
        )


async def consume(settings: Settings, queues: Sequence[Queue]) -> None:
    """Bring events to everyone they are for and outcomes on record, until told to stop."""
    amqp = settings.amqp_url.get_secret_value
    tasks: dict[str, running.Task] = {}
    checks: dict[str, health.Check] = {}
    async with AsyncExitStack() as stack:
        publisher = Publisher(amqp, name="inbox-api consume")
        stack.push_async_callback(publisher.close)
        checks["broker"] = publisher.answers
        for queue in queues:
            # A pool for each: an OTP never waits for a connection that a bulk run holds.
            batch, workers = _sizes(settings)[queue]
            pool = await stack.enter_async_context(_pool(settings, size=workers + 1))
            found = subscribed(queue, _deeds(settings, pool), batch=batch, workers=workers)
            tasks |= subscription.tasks([found], url=amqp, publisher=publisher)
            checks.setdefault("database", partial(database.answers, pool))
        await running.run({**tasks, "health": _health(settings, checks)})


async def forward(settings: Settings) -> None:
    """Publish what the outbox holds and look after what has no end, until told to stop."""
    async with _pool(settings, size=1) as pool, emptying("inbox-api", settings) as (tasks, checks):
        await running.run({**tasks, "check": _checking(settings, pool), "health": _health(settings, checks)})


def _deeds(settings: Settings, pool: "asyncpg.Pool[asyncpg.Record]") -> Deeds:
    """What the messages of the queues are brought to."""
    rules = Rules(channels=EVERY_WAY, quiet_hours=quiet_hours.parse(settings.quiet_hours), phone_key=settings.phone_key)
    store = PostgresStore(pool, seal=Seal(settings.seal_key), look_after=settings.check_after)
    return Deeds(
        notify=partial(notify, store=store, rules=rules, clock=_now),
        prune=partial(prune, tables=PostgresTables(pool), clock=_now),
        settle=partial(settle, store=PostgresDeliveries(pool), clock=_now),
    )


def _sizes(settings: Settings) -> Mapping[Queue, tuple[int, int]]:
    """Of each queue: the batch, in events, and how many batches at the same time.

    Standard events are taken in one after the other: a user's new number counts for the bill told right after it.
    """
    return {
        Queue.CRITICAL: (settings.critical_batch, settings.critical_workers),
        Queue.STANDARD: (settings.standard_batch, 1),
        Queue.OUTCOMES: (settings.outcomes_batch, 1),
    }


def _checking(settings: Settings, pool: "asyncpg.Pool[asyncpg.Record]") -> running.Task:
    return checking(
        store=PostgresChecks(pool),
        seal=Seal(settings.seal_key),
        patience=Patience(settings.check_after, quiet_hours.parse(settings.quiet_hours)),
        clock=_now,
        every=settings.check_every,
        most=settings.check_batch,
    )


def _pool(settings: ServiceSettings, *, size: int) -> AbstractAsyncContextManager["asyncpg.Pool[asyncpg.Record]"]:
    return database.pooled(settings.database_url.get_secret_value, size=size)


def _health(settings: ServiceSettings, checks: Mapping[str, health.Check]) -> running.Task:
    return health.serving(health.pages(checks), host=settings.health_host, port=settings.health_port)


def _now() -> datetime:
    return datetime.now(UTC)
