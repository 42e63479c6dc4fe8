"""The forwarder's rows a second against the broker's own limit and against one row a transaction."""

from pathlib import Path
from urllib.parse import urlsplit

import aio_pika
from spacehub import database, forwarder, outbox
from spacehub.events.catalogue import DELIVERIES_EXCHANGE
from spacehub.forwarder import forward
from spacehub.outbox import OutboxRow
from spacehub.rabbit import Publisher
from spacehub_dev.provisioning.fresh import Vhost

from bench.ground import Ground, output
from bench.measuring import Findings, Goal, Meter, Sample, Way, in_turns, middle, ratio, spread
from bench.requests import fill, outbox_rows

ROWS = 10_000
ONE_BY_ONE = 300
IN_FLIGHT = 500
QUEUE = "sms-sender.standard"

OURS = f"forwarder, {forwarder.BATCH} rows a transaction"
NAIVE = "one row a transaction"
LIMIT = f"C client without a database, {IN_FLIGHT} confirms in flight"


async def measure(ground: Ground) -> Findings:
    """The same messages through the same quorum queue, each way in turn."""
    limit = await ground.compiled("limit", packages=["librabbitmq-dev"], libraries=["rabbitmq"])
    rows = outbox_rows(ROWS)
    body = ground.directory / "body"
    body.write_bytes(rows[0].body)
    async with ground.database(_migrate) as url, ground.vhost() as vhost:
        samples = await in_turns(
            {
                OURS: _forwarding(url, vhost, rows, batch=forwarder.BATCH),
                NAIVE: _forwarding(url, vhost, rows[:ONE_BY_ONE], batch=1),
                LIMIT: _publishing(limit, vhost, rows[0].routing_key, body),
            }
        )
    return Findings(
        goals=[
            Goal("forwarder / one row a transaction", ratio(samples[OURS], samples[NAIVE]), 15),
            Goal("forwarder / the broker's limit", ratio(samples[OURS], samples[LIMIT]), 0.6),
        ],
        head=["way", "messages/s", "µs of our CPU a message"],
        rows=[
            [name, spread(found), f"{middle(found, lambda one: one.cpu_each):,.0f}" if name != LIMIT else ""]
            for name, found in samples.items()
        ],
        notes=[f"{len(rows[0].body)} bytes a message, persistent and mandatory, into a quorum queue of one member."],
    )


def _forwarding(url: str, vhost: Vhost, rows: list[OutboxRow], *, batch: int) -> Way:
    async def way() -> Sample:
        connection = await database.connect(url)
        publisher = Publisher(vhost.amqp_url, name="bench")
        try:
            await fill(connection, rows)
            await publisher.answers()
            meter = Meter()
            done = 0
            while (did := await forward(connection, lane="standard", publisher=publisher, batch=batch)).taken:
                done += did.acked
            assert done == len(rows)
            return meter.read(done)
        finally:
            await publisher.close()
            await connection.close()
            await _purge(vhost)

    return way


def _publishing(program: Path, vhost: Vhost, key: str, body: Path) -> Way:
    async def way() -> Sample:
        place = urlsplit(vhost.amqp_url)
        address = [str(place.hostname), str(place.port), str(place.username), str(place.password), vhost.name]
        sizes = [str(body), str(ROWS), str(IN_FLIGHT)]
        seconds = float(await output([str(program), *address, DELIVERIES_EXCHANGE, key, *sizes]))
        await _purge(vhost)
        return Sample(ROWS, seconds)

    return way


async def _purge(vhost: Vhost) -> None:
    connection = await aio_pika.connect(vhost.amqp_url)
    async with connection, connection.channel() as channel:
        await (await channel.get_queue(QUEUE)).purge()


async def _migrate(url: str) -> None:
    connection = await database.connect(url)
    await connection.execute(outbox.CREATE_TABLE)
    for index in outbox.CREATE_INDEXES:
        await connection.execute(index)
    await connection.close()
