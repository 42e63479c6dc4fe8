"""The command `inbox-api`: the one place that reads the settings and binds the rooms together."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from spacehub import database, health, migrating, quiet_hours, running, telemetry
from spacehub.consuming import subscription
from spacehub.forwarder import forwarding, watching
from spacehub.rabbit import Publisher

from inbox_api.checking import Patience, checking
from inbox_api.checking_store import PostgresChecks
from inbox_api.consumers import Queue, subscribed
from inbox_api.drafts import Rules
from inbox_api.notifying import notify
from inbox_api.notifying_store import PostgresStore
from inbox_api.seals import Seal
from inbox_api.settings import Settings
from inbox_api.settling import settle
from inbox_api.settling_store import PostgresDeliveries

MIGRATIONS = Path(__file__).resolve().parent.parent / "migrations"

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Turns events into messages.")


@app.command()
def consume(
    queues: Annotated[list[Queue] | None, typer.Argument(help="All of them unless some are named.")] = None,
) -> None:
    """Consume the events of other domains and the outcomes of the senders."""
    asyncio.run(_consume(_configured("consume"), queues or list(Queue)))


@app.command()
def forward() -> None:
    """Publish what the outbox holds, and ask again for what has had no end for long."""
    asyncio.run(_forward(_configured("forward")))


@app.command()
def migrate() -> None:
    """Bring the database to the newest version."""
    settings = _configured("migrate")
    migrating.upgrade(MIGRATIONS, settings.database_url.get_secret_value())


async def _consume(settings: Settings, queues: Sequence[Queue]) -> None:
    url, amqp = settings.database_url.get_secret_value(), settings.amqp_url.get_secret_value()
    rules = Rules(
        channels=frozenset({"inbox", "push", "sms"}),
        quiet_hours=quiet_hours.parse(settings.quiet_hours),
        phone_key=settings.phone_key,
    )
    publisher = Publisher(amqp, name="inbox-api consume")
    pools = []
    tasks: dict[str, running.Task] = {}
    for queue in queues:
        batch, workers = _sizes(settings)[queue]
        # A pool for each: an OTP never waits for a connection that a bulk run holds.
        pool = await database.open_pool(url, size=workers + 1)
        handlers = {
            "notify": partial(
                notify,
                store=PostgresStore(pool, seal=Seal(settings.seal_key), look_after=settings.check_after),
                rules=rules,
                clock=_now,
            ),
            "settle": partial(settle, store=PostgresDeliveries(pool), clock=_now),
        }
        found = subscribed(queue, **handlers, batch=batch, workers=workers)
        tasks |= subscription.tasks([found], url=amqp, publisher=publisher)
        pools.append(pool)
    checks: dict[str, health.Check] = {
        "database": partial(database.answers, pools[0]),
        "broker": publisher.answers,
    }
    await running.run({**tasks, "health": _health(settings, checks)})
    await publisher.close()
    await asyncio.gather(*(pool.close() for pool in pools))


def _sizes(settings: Settings) -> Mapping[Queue, tuple[int, int]]:
    """Of each queue: the batch, in events, and how many batches at the same time."""
    return {
        Queue.CRITICAL: (settings.critical_batch, settings.critical_workers),
        Queue.STANDARD: (settings.standard_batch, settings.standard_workers),
        Queue.OUTCOMES: (settings.outcomes_batch, 1),
    }


async def _forward(settings: Settings) -> None:
    url, amqp = settings.database_url.get_secret_value(), settings.amqp_url.get_secret_value()
    critical = Publisher(amqp, name="inbox-api forward critical")
    standard = Publisher(amqp, name="inbox-api forward standard")
    pool = await database.open_pool(url, size=2)
    checks: dict[str, health.Check] = {"database": partial(database.answers, pool), "broker": critical.answers}
    await running.run(
        {
            "forward critical": forwarding("critical", database_url=url, publisher=critical),
            "forward standard": forwarding("standard", database_url=url, publisher=standard),
            "watch": watching(database_url=url),
            "check": checking(
                store=PostgresChecks(pool),
                seal=Seal(settings.seal_key),
                patience=Patience(settings.check_after, quiet_hours.parse(settings.quiet_hours)),
                clock=_now,
                every=settings.check_every,
                most=settings.check_batch,
            ),
            "health": _health(settings, checks),
        }
    )
    await asyncio.gather(critical.close(), standard.close(), pool.close())


def _health(settings: Settings, checks: dict[str, health.Check]) -> running.Task:
    return health.serving(health.pages(checks), host=settings.health_host, port=settings.health_port)


def _configured(verb: str) -> Settings:
    settings = Settings()
    telemetry.configure_logs(f"inbox-api {verb}", level=settings.log_level, to_terminal=settings.log_to_terminal)
    return settings


def _now() -> datetime:
    return datetime.now(UTC)
