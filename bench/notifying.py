"""Notifying's events a second, in batches as configured, against one event a transaction."""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import partial
from itertools import count
from uuid import UUID, uuid4

import asyncpg
from inbox_api.app import MIGRATIONS
from inbox_api.drafts import Rules
from inbox_api.notices import EVERY_WAY
from inbox_api.notifying import notify
from inbox_api.notifying_store import PostgresStore
from inbox_api.seals import Seal
from inbox_api.settings import Settings
from pydantic import SecretStr
from spacehub import database, migrating
from spacehub.consuming.settling import Handler
from spacehub.events import envelope
from spacehub.events.envelope import Event, Message
from spacehub.events.facts import BillIssued, Recipient

from bench.ground import KEYS, Ground
from bench.measuring import Findings, Goal, Meter, Sample, Way, in_turns, middle, ratio, spread

EVENTS = 6_000
ONE_BY_ONE = 400
BATCH: int = Settings.model_fields["standard_batch"].default

OURS, NAIVE = f"batches of {BATCH} events", "one event a transaction"
_numbers = count(1)


async def measure(ground: Ground) -> Findings:
    """From the bytes as the broker delivers them to the commit: an inbox row, three deliveries, two outbox rows."""
    async with ground.database(lambda url: migrating.upgrade(MIGRATIONS, url)) as url, database.pooled(url) as pool:
        store = PostgresStore(pool, seal=Seal(SecretStr(KEYS["SEAL_KEY"])), look_after=timedelta(minutes=10))
        rules = Rules(channels=EVERY_WAY, quiet_hours=None, phone_key=SecretStr(KEYS["PHONE_KEY"]))
        taking_in = partial(notify, store=store, rules=rules, clock=lambda: datetime.now(UTC))
        ways = {OURS: _way(taking_in, pool, EVENTS, batch=BATCH), NAIVE: _way(taking_in, pool, ONE_BY_ONE, batch=1)}
        for way in ways.values():
            await way()
        samples = await in_turns(ways)
    return Findings(
        goals=[Goal("batches / one event a transaction", ratio(samples[OURS], samples[NAIVE]), 8)],
        head=["way", "events/s", "µs of our CPU an event"],
        rows=[
            [name, spread(found), f"{middle(found, lambda one: one.cpu_each):,.0f}"] for name, found in samples.items()
        ],
        notes=[
            "`bill.issued` to a user each, on one connection: read, texts written, committed with fsync. A process has"
            " one such batch in hand; more processes are more shards (see [scale](scale.md))."
        ],
    )


def _way(handle: Handler, pool: "asyncpg.Pool[asyncpg.Record]", total: int, *, batch: int) -> Way:
    async def way() -> Sample:
        async with database.reading(pool) as connection:
            await connection.execute("TRUNCATE outbox")
        messages = list(_bills(total))
        meter = Meter()
        for start in range(0, total, batch):
            await _take_in(handle, messages[start : start + batch])
        return meter.read(total)

    return way


async def _take_in(handle: Handler, messages: Sequence[Message]) -> None:
    await handle([envelope.read(one.body, content_type=one.content_type, headers={}) for one in messages])


def _bills(total: int) -> Iterator[Message]:
    owner = uuid4()
    for number in (next(_numbers) for _ in range(total)):
        bill = BillIssued(
            bill_id=f"A1201-{number}",
            owner_id=owner,
            recipient=Recipient(user_id=UUID(int=number), phone=str(99_000_000 + number % 1_000_000)),
            month="2026-11",
            amount=1_250_000,
            due_date=date.today() + timedelta(days=10),
        )
        yield envelope.write(Event(str(uuid4()), "/billing", bill, datetime.now(UTC)))
