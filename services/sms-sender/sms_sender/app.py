"""The sms-sender command: `consume` sends, `forward` publishes outcomes, `migrate` prepares the database."""

import asyncio
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from spacehub import database, forwarder, health, migrating, quiet_hours, running
from spacehub.consuming import subscription
from spacehub.consuming.nightly_rest import by_day
from spacehub.health import Check
from spacehub.outbox import Lane
from spacehub.rabbit import Publisher
from spacehub.running import Task
from spacehub.telemetry import configure_logs

from sms_sender.account import Account
from sms_sender.consumers import facts, sms_requests
from sms_sender.facts_store import FactsStore
from sms_sender.gateway import Gateway, open_gateway
from sms_sender.lanes import lanes
from sms_sender.learning import learn
from sms_sender.ledger import Ledger
from sms_sender.leftovers import Leftovers
from sms_sender.pacing import Pace
from sms_sender.replies import load_grammar
from sms_sender.sending import give_up, send_in_turn
from sms_sender.settings import Settings
from sms_sender.sweeping import sweeping

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
    url = settings.amqp_url.get_secret_value()
    window = quiet_hours.parse(settings.quiet_hours)
    tasks: dict[str, Task] = {}
    checks: dict[str, Check] = {}
    async with AsyncExitStack() as stack:
        pools, publishers, gateways = {}, {}, {}
        for name, workers in _workers(settings).items():
            pools[name], publishers[name] = await _connections(f"consume {name}", settings, stack)
            gateways[name] = await stack.enter_async_context(_gateway(settings, connections=workers))
            checks[f"database {name}"] = partial(database.answers, pools[name])
            checks[f"broker {name}"] = publishers[name].answers
        rate = settings.gateway_rate
        paces = {name: Pace(pool, rate=rate) for name, pool in pools.items()} if rate else None
        for name, lane in lanes(gateways, paces=paces).items():
            ledger = Ledger(pools[name], phone_key=settings.phone_key)
            requests = sms_requests(
                name,
                send=partial(send_in_turn, lane=lane, ledger=ledger, deadline=settings.gateway_deadline),
                give_up=partial(give_up, ledger=ledger),
                workers=_workers(settings)[name],
            )
            found = subscription.tasks([requests], url=url, publisher=publishers[name])
            consuming = lane.attended(found[f"consume {requests.queue.name}"])
            tasks |= {
                **found,
                f"consume {requests.queue.name}": consuming if name == "critical" else by_day(consuming, window),
            }
        pool, publisher = await _connections("consume facts", settings, stack)
        learning = facts(learn=partial(learn, facts_kept=FactsStore(pool)), batch=settings.facts_batch)
        tasks |= subscription.tasks([learning], url=url, publisher=publisher)
        tasks["sweep"] = sweeping(leftovers=Leftovers(pool), kept=settings.ledger_kept)
        await running.run({**tasks, "health": _health(settings, checks)})


def _workers(settings: Settings) -> dict[Lane, int]:
    """How many texts each lane may have in hand."""
    return {"critical": settings.critical_concurrency, "standard": settings.standard_concurrency}


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
