"""The processes of sms-sender: each verb's rooms bound together, for as long as the process runs."""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING

from spacehub import database, health, quiet_hours, running
from spacehub.consuming import subscription
from spacehub.consuming.nightly_rest import by_day
from spacehub.forwarder import emptying
from spacehub.health import Check
from spacehub.outbox import Lane
from spacehub.rabbit import Publisher
from spacehub.running import Task

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

CONNECTIONS = 4
"""Of each lane to the database: claims and outcomes travel in batches, so a few serve many workers."""


async def consume(settings: Settings) -> None:
    """Send what is asked for, until told to stop."""
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


async def forward(settings: Settings) -> None:
    """Publish the outcomes that the ledger has committed, until told to stop."""
    async with emptying("sms-sender", settings) as (tasks, checks):
        await running.run({**tasks, "health": _health(settings, checks)})


async def _connections(
    name: str, settings: Settings, stack: AsyncExitStack
) -> tuple["asyncpg.Pool[asyncpg.Record]", Publisher]:
    """A lane's own way to the database and to the broker: what hangs in one lane is not felt in the other."""
    url = settings.database_url.get_secret_value()
    pool = await stack.enter_async_context(database.pooled(url, size=CONNECTIONS))
    publisher = Publisher(settings.amqp_url.get_secret_value(), name=f"sms-sender {name}")
    stack.push_async_callback(publisher.close)
    return pool, publisher


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
