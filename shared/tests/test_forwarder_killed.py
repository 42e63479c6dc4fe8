"""Any number of forwarders may run, and one that is killed at the worst moment loses nothing."""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

from spacehub import outbox
from spacehub.forwarder import BATCH, forwarding
from spacehub.outbox import OutboxRow
from spacehub.rabbit import Publisher
from spacehub.testing.broker import Broker, ids_of
from spacehub.testing.programs import program
from spacehub.testing.waiting import eventually

FORWARDER = Path(__file__).parent / "programs" / "forwarder.py"


async def test_three_forwarders_of_which_one_is_killed_publish_every_row(
    broker: Broker, publisher: Publisher, connection: Any, outbox_url: str
) -> None:
    queue, ids = await broker.plain_queue(), [f"m-{number}" for number in range(3 * BATCH)]
    rows = [OutboxRow(message_id=name, exchange="", routing_key=queue, body=b"{}") for name in ids]
    await outbox.write(connection, rows)
    stopping = asyncio.Event()

    async def outbox_holds(count: int) -> bool:
        return bool(await connection.fetchval("SELECT count(*) = $1 FROM outbox", count))

    async with program(FORWARDER, outbox_url, broker.url) as doomed:
        await doomed.says(f"confirmed {BATCH}")
        others = [
            asyncio.ensure_future(forwarding("standard", database_url=outbox_url, publisher=publisher)(stopping))
            for _ in range(2)
        ]
        await eventually(lambda: outbox_holds(BATCH))
        await doomed.kill()
    await eventually(lambda: outbox_holds(0))
    stopping.set()
    await asyncio.gather(*others)

    published = Counter(ids_of(await broker.take(queue)))
    assert set(published) == set(ids)
    assert Counter(published.values()) == {1: 2 * BATCH, 2: BATCH}
