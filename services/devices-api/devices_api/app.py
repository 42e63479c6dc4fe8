"""The devices-api command: `serve` answers the app and push-sender, `consume` hears of deaths, `migrate` prepares."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import typer
from spacehub import database, health, migrating, running, telemetry
from spacehub.auth.settings import verifier
from spacehub.auth.shared_secret import shared_secret
from spacehub.consuming import subscription
from spacehub.health import Check
from spacehub.http_api import LONGEST_HEAD
from spacehub.rabbit import Publisher
from spacehub.running import Task
from spacehub.settings import TraceSettings

from devices_api.consumers import device_events
from devices_api.registry import Registry
from devices_api.routes import internal_api, public_api
from devices_api.settings import Settings

MIGRATIONS = Path(__file__).resolve().parents[1] / "migrations"

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help="Knows which device belongs to whom.")


@app.command()
def serve() -> None:
    """Answer the calls of the app and of push-sender, until told to stop."""
    asyncio.run(_serve(_settings("serve")))


@app.command()
def consume() -> None:
    """Take devices away that died, were not seen for long, or whose user was deleted, until told to stop."""
    asyncio.run(_consume(_settings("consume")))


@app.command()
def migrate(wait: migrating.Wait = False) -> None:
    """Bring the database to its newest shape."""
    migrating.upgrade(MIGRATIONS, _settings("migrate").database_url.get_secret_value(), wait=wait)


async def _serve(settings: Settings) -> None:
    async with _registry(settings) as (registry, database_answers):
        public = public_api(authenticate=verifier(settings).caller, registry=registry)
        internal = internal_api(authenticate=shared_secret(settings.internal_secret), registry=registry)
        await running.run(
            {
                "public": health.serving(
                    public, host=settings.http_host, port=settings.http_port, longest_head=LONGEST_HEAD
                ),
                "internal": health.serving(internal, host=settings.internal_host, port=settings.internal_port),
                "health": _health(settings, {"database": database_answers}),
            }
        )


async def _consume(settings: Settings) -> None:
    url = settings.amqp_url.get_secret_value
    publisher = Publisher(url, name="devices-api consume")
    async with _registry(settings) as (registry, database_answers):
        checks = {"database": database_answers, "broker": publisher.answers}
        tasks = subscription.tasks([device_events(registry=registry)], url=url, publisher=publisher)
        try:
            await running.run({**tasks, "health": _health(settings, checks)})
        finally:
            await publisher.close()


@asynccontextmanager
async def _registry(settings: Settings) -> AsyncIterator[tuple[Registry, Check]]:
    """The registry, and whether its database answers."""
    pool = await database.open_pool(settings.database_url.get_secret_value, size=settings.connections)
    try:
        yield Registry(pool), partial(database.answers, pool)
    finally:
        with suppress(TimeoutError):
            async with asyncio.timeout(2):
                await pool.close()


def _health(settings: Settings, checks: Mapping[str, Check]) -> Task:
    return health.serving(health.pages(checks), host=settings.health_host, port=settings.health_port)


def _settings(verb: str) -> Settings:
    settings = Settings()
    telemetry.configure(f"devices-api {verb}", settings, TraceSettings())
    return settings
