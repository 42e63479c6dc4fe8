"""The sms-sender command: `consume` sends, `forward` publishes outcomes, `migrate` prepares the database."""

import asyncio
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from spacehub import database, forwarder, health, migrating, running
from spacehub.consuming.subscription import consuming
from spacehub.health import Check
from spacehub.outbox import Lane
from spacehub.rabbit import Publisher
from spacehub.running import Task
from spacehub.telemetry import configure_logs

from sms_sender.account import Account
from sms_sender.consumers import sms_requests
from sms_sender.gateway import Gateway, open_gateway
from sms_sender.ledger import Ledger
from sms_sender.replies import load_grammar
from sms_sender.sending import give_up, send_sms
from sms_sender.settings import Settings

if TYPE_CHECKING:
    import asyncpg

MIGRATIONS = Path(__file__).resolve().parents[1] / "migrations"
CONNECTIONS = 4
"""Of each lane to the database: claims and outcomes travel in batches, so a few serve many workers."""

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help="Hands each SMS to the carrier once.")


@app.command()
def consume() -> None:
    """Send what is asked for, until told to stop."""
    settings = _settings("consume")
    asyncio.run(_consume(settings))


@app.command()
def forward() -> None:
    """Publish the outcomes that the ledger has committed, until told to stop."""
    settings = _settings("forward")
    asyncio.run(_forward(settings))


@app.command()
def migrate() -> None:
    """Bring the database to its newest shape."""
    settings = _settings("migrate")
    migrating.upgrade(MIGRATIONS, settings.database_url.get_secret_value())


async def _consume(settings: Settings) -> None:
    workers: dict[Lane, int] = {"critical": settings.critical_concurrency, "standard": settings.standard_concurrency}
    tasks: dict[str, Task] = {}
    checks: dict[str, Check] = {}
    async with AsyncExitStack() as stack:
        for lane, count in workers.items():
            pool, publisher = await _connections(f"consume {lane}", settings, stack)
            gateway = await stack.enter_async_context(_gateway(settings, connections=count))
            ledger = Ledger(pool, phone_key=settings.phone_key)
            subscription = sms_requests(
                lane,
                send=partial(send_sms, gateway=gateway, ledger=ledger, deadline=settings.gateway_deadline),
                give_up=partial(give_up, ledger=ledger),
                workers=count,
            )
            tasks[lane] = consuming(subscription, url=settings.amqp_url.get_secret_value(), publisher=publisher)
            checks |= {f"database {lane}": partial(database.answers, pool), f"broker {lane}": publisher.answers}
        await running.run({**tasks, "health": _health(settings, checks)})


async def _forward(settings: Settings) -> None:
    url = settings.database_url.get_secret_value()
    tasks: dict[str, Task] = {"watching": forwarder.watching(database_url=url)}
    checks: dict[str, Check] = {}
    lanes: tuple[Lane, ...] = ("critical", "standard")
    async with AsyncExitStack() as stack:
        for lane in lanes:
            pool, publisher = await _connections(f"forward {lane}", settings, stack)
            tasks[lane] = forwarder.forwarding(lane, database_url=url, publisher=publisher)
            checks |= {f"database {lane}": partial(database.answers, pool), f"broker {lane}": publisher.answers}
        await running.run({**tasks, "health": _health(settings, checks)})


async def _connections(
    name: str, settings: Settings, stack: AsyncExitStack
) -> tuple["asyncpg.Pool[asyncpg.Record]", Publisher]:
    """A lane's own way to the database and to the broker: what hangs in one lane is not felt in the other."""
    pool = await database.open_pool(settings.database_url.get_secret_value(), size=CONNECTIONS)
    publisher = Publisher(settings.amqp_url.get_secret_value(), name=f"sms-sender {name}")
    stack.push_async_callback(_close, pool)
    stack.push_async_callback(publisher.close)
    return pool, publisher


async def _close(pool: "asyncpg.Pool[asyncpg.Record]") -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(2):
            await pool.close()


def _gateway(settings: Settings, *, connections: int) -> AbstractAsyncContextManager[Gateway]:
    account = Account(
        settings.gateway_url,
        settings.gateway_username,
        settings.gateway_password.get_secret_value(),
        settings.gateway_from,
    )
    grammar = load_grammar(settings.gateway_grammar)
    return open_gateway(account, grammar=grammar, connections=connections, deadline=settings.gateway_deadline)


def _health(settings: Settings, checks: Mapping[str, Check]) -> Task:
    return health.serving(health.pages(checks), host=settings.health_host, port=settings.health_port)


def _settings(verb: str) -> Settings:
    settings = Settings()
    configure_logs(f"sms-sender {verb}", level=settings.log_level, to_terminal=settings.log_to_terminal)
    return settings
