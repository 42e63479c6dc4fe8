"""The processes of sms-sender: each verb's rooms bound together, for as long as the process runs."""

import math
from collections.abc import Collection, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from spacehub import database, health, quiet_hours, running
from spacehub.consuming import subscription
from spacehub.consuming.nightly_rest import by_day
from spacehub.forwarder import emptying
from spacehub.health import Check
from spacehub.outbox import Lane as LaneName
from spacehub.rabbit import Publisher
from spacehub.running import Task

from sms_sender.account import Account
from sms_sender.consumers import Queue, facts, sms_requests
from sms_sender.facts_store import FactsStore
from sms_sender.gateway import Gateway, open_gateway
from sms_sender.guarding import send_unless_in_doubt
from sms_sender.lanes import Lane
from sms_sender.learning import learn
from sms_sender.ledger import Ledger
from sms_sender.leftovers import Leftovers
from sms_sender.pacing import Pace
from sms_sender.replies import load_grammar
from sms_sender.restorations import Restorations
from sms_sender.sending import give_up, send_in_turn
from sms_sender.settings import Settings
from sms_sender.standing import Standing
from sms_sender.sweeping import sweeping

if TYPE_CHECKING:
    import asyncpg

CONNECTIONS = 4
"""Of each queue to the database: claims and outcomes travel in batches, so a few serve many workers."""


@dataclass(frozen=True, slots=True)
class Connections:
    """A queue's own way to the database and to the broker: what hangs in one is not felt in the others."""

    pool: "asyncpg.Pool[asyncpg.Record]"
    publisher: Publisher


async def consume(settings: Settings, queues: Collection[Queue]) -> None:
    """Send what is asked for and hear what closes a subject, as far as it comes by `queues`, until told to stop."""
    tasks: dict[str, Task] = {}
    checks: dict[str, Check] = {}
    async with AsyncExitStack() as stack:
        ways = {queue: await _connections(queue, settings, stack) for queue in queues}
        for queue, way in ways.items():
            checks[f"database {queue}"] = partial(database.answers, way.pool)
            checks[f"broker {queue}"] = way.publisher.answers
        standing = Standing(database_url=settings.database_url.get_secret_value)
        for name, places in _at_the_carrier(settings).items():
            if name in ways:
                gateway = await stack.enter_async_context(_gateway(settings, connections=places))
                pace = Pace(ways[Queue(name)].pool, rate=settings.gateway_rate) if settings.gateway_rate else None
                lane = standing.add(name, gateway, places=places, pace=pace)
                tasks |= {**_sending(name, lane, settings, ways[Queue(name)]), "account": standing.keep}
        if Queue.FACTS in ways:
            tasks |= _housekeeping(settings, ways[Queue.FACTS])
        await running.run({**tasks, "health": _health(settings, checks)})


def _sending(name: LaneName, lane: Lane, settings: Settings, way: Connections) -> dict[str, Task]:
    """The tasks of one lane; the standard one rests in quiet hours."""
    ledger = Ledger(way.pool, phone_key=settings.phone_key, ceiling=settings.ceiling_per_minute)
    send = partial(send_in_turn, lane=lane, ledger=ledger, deadline=settings.gateway_deadline)
    requests = sms_requests(
        name,
        send=partial(send_unless_in_doubt, restorations=Restorations(way.pool), ledger=ledger, send=send),
        give_up=partial(give_up, ledger=ledger),
        tell=ledger.tell,
        workers=_in_hand(_at_the_carrier(settings)[name]),
    )
    tasks = subscription.tasks([requests], url=settings.amqp_url.get_secret_value, publisher=way.publisher)
    queue = requests.queue.name
    consuming = lane.attended(tasks[f"consume {queue}"])
    window = quiet_hours.parse(settings.quiet_hours) if name == "standard" else None
    return {**tasks, f"consume {queue}": by_day(consuming, window, queue=queue)}


def _housekeeping(settings: Settings, way: Connections) -> dict[str, Task]:
    """The tasks that learn what is closed, and end what was left over."""
    learning = facts(learn=partial(learn, facts_kept=FactsStore(way.pool)), batch=settings.facts_batch)
    tasks = subscription.tasks([learning], url=settings.amqp_url.get_secret_value, publisher=way.publisher)
    return {**tasks, "sweep": sweeping(leftovers=Leftovers(way.pool), kept=settings.ledger_kept)}


def _at_the_carrier(settings: Settings) -> dict[LaneName, int]:
    """How many texts of each lane may be at the carrier at once."""
    return {"critical": settings.critical_concurrency, "standard": settings.standard_concurrency}


def _in_hand(at_the_carrier: int) -> int:
    """How many texts a lane works on at once: some wait for a place there, or are written down when they are back."""
    return at_the_carrier + math.ceil(at_the_carrier / 4)


async def forward(settings: Settings) -> None:
    """Publish the outcomes that the ledger has committed, until told to stop."""
    async with emptying("sms-sender", settings) as (tasks, checks):
        await running.run({**tasks, "health": _health(settings, checks)})


async def _connections(queue: Queue, settings: Settings, stack: AsyncExitStack) -> Connections:
    pool = await stack.enter_async_context(database.pooled(settings.database_url.get_secret_value, size=CONNECTIONS))
    publisher = Publisher(settings.amqp_url.get_secret_value, name=f"sms-sender consume {queue}")
    stack.push_async_callback(publisher.close)
    return Connections(pool, publisher)


def _gateway(settings: Settings, *, connections: int) -> AbstractAsyncContextManager[Gateway]:
    account = Account(
        settings.gateway_url,
        settings.gateway_username,
        settings.gateway_password.get_secret_value,
        settings.gateway_from,
    )
    grammar = load_grammar(settings.gateway_grammar)
    return open_gateway(account, grammar=grammar, connections=connections, deadline=settings.gateway_deadline)


def _health(settings: Settings, checks: Mapping[str, Check]) -> Task:
    return health.serving(health.pages(checks), host=settings.health_host, port=settings.health_port)
