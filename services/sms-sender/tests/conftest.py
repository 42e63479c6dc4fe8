"""A ledger of its own for every test that asks, and a house where the processes of sms-sender run."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import aio_pika
import httpx
import pytest
from aiohttp import web
from pydantic import SecretStr
from sms_sender.app import MIGRATIONS
from sms_sender.ledger import Ledger
from sms_sender.testing.books import Book, MemoryBook, PostgresBook
from spacehub import database, dead_letters, migrating, topology
from spacehub.confirming import Confirm, Outgoing
from spacehub.events.catalogue import DELIVERIES_EXCHANGE, EVENTS_EXCHANGE
from spacehub.events.envelope import Event, write
from spacehub.rabbit import Publisher
from spacehub.testing.broker import lay
from spacehub.testing.waiting import eventually
from spacehub_dev.provisioning.fresh import MakeDatabase, drop_vhost, make_vhost
from spacehub_dev.provisioning.ports import release_port, reserve_port
from spacehub_dev.provisioning.program import Program
from spacehub_dev.provisioning.servers import RabbitServer
from spacehub_dev.simulators.sms import Login, sms_simulator

if TYPE_CHECKING:
    import asyncpg
    from spacehub.events.facts import Fact
    from spacehub.events.requests import SmsRequested

    Pool = asyncpg.Pool[asyncpg.Record]

HERE = Path(__file__).parent
PHONE_KEY = SecretStr("a key for tests")


def migrate(url: str) -> None:
    migrating.upgrade(MIGRATIONS, url)


@pytest.fixture
async def database_url(make_database: MakeDatabase) -> str:
    return await make_database(migrate)


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    pool = await database.open_pool(database_url)
    yield pool
    await pool.close()


@pytest.fixture
def ledger(pool: Pool) -> Ledger:
    return Ledger(pool, phone_key=PHONE_KEY)


@pytest.fixture(params=["memory", "postgresql"])
def book(request: pytest.FixtureRequest) -> Book:
    """Either ledger: whoever asks for this tests the promise of both."""
    if request.param == "memory":
        return MemoryBook()
    return PostgresBook(request.getfixturevalue("ledger"), request.getfixturevalue("pool"))


@dataclass
class House:
    """A broker, a ledger and a carrier, and the processes of ours between them."""

    pool: Pool
    amqp_url: str
    carrier: httpx.AsyncClient
    publisher: Publisher
    environment: Mapping[str, str]
    directory: Path
    ports: list[int] = field(default_factory=list)
    programs: list[Program] = field(default_factory=list)

    def start(self, verb: str, *words: str, **settings: str) -> Program:
        """`sms-sender consume` or `forward`."""
        return self._start(verb, [str(Path(sys.executable).with_name("sms-sender")), verb, *words], settings)

    async def start_stopping(self, lane: str, point: str) -> Program:
        """A sender that has come to `point` with one SMS and stands still there."""
        program = self._start(
            f"stopping at {point}", [sys.executable, str(HERE / "stopping_sender.py"), lane, point], {}
        )
        await eventually(lambda: "stands_still" in program.log.read_text(), because=f"stopping at {point}")
        return program

    def _start(self, name: str, command: list[str], settings: Mapping[str, str]) -> Program:
        self.ports.append(reserve_port())
        environment = {**self.environment, "SMS_SENDER_HEALTH_PORT": str(self.ports[-1]), **settings}
        name = f"{name} {len(self.programs)}"
        program = Program(name, command, self.directory, self.directory / f"{name}.log", environment)
        self.programs.append(program)
        program.start()
        return program

    async def ask(self, *requests: SmsRequested) -> None:
        """Publish the requests as inbox-api would."""
        await self.put(
            *(
                Outgoing(DELIVERIES_EXCHANGE, message.routing_key, message.body, message.id, message.content_type)
                for message in (write(Event(id=str(sms.sms_id), source="/inbox-api", data=sms)) for sms in requests)
            )
        )

    async def tell(self, fact: Fact) -> None:
        """Publish `fact` as another domain would."""
        message = write(Event(id=str(uuid4()), source="/elsewhere", data=fact))
        await self.put(Outgoing(EVENTS_EXCHANGE, message.routing_key, message.body, message.id, message.content_type))

    async def put(self, *messages: Outgoing) -> None:
        assert set(await self.publisher.publish(messages, within=20)) == {Confirm.ACKED}

    async def behave(self, mode: str, **behaviour: Any) -> None:
        """Tell the carrier how to behave from now on."""
        (await self.carrier.put("/control/behaviour", json={"mode": mode, **behaviour})).raise_for_status()

    async def texts(self) -> list[str]:
        """Every text the carrier took, and was paid for."""
        return [message["text"] for message in (await self.carrier.get("/control/messages")).json()["messages"]]

    async def row(self, sms: SmsRequested) -> Mapping[str, Any]:
        row = await self.pool.fetchrow("SELECT * FROM sms WHERE sms_id = $1", sms.sms_id)
        return dict(row) if row is not None else {}

    async def ends(self) -> dict[str, int]:
        """How many SMS have which status."""
        rows = await self.pool.fetch("SELECT status, count(*) FROM sms GROUP BY status")
        return {row["status"]: row["count"] for row in rows}

    async def settled(self, *requests: SmsRequested) -> None:
        """Wait until each has an end."""

        async def all_ended() -> bool:
            ids = [sms.sms_id for sms in requests]
            query = "SELECT count(*) FROM sms WHERE settled_at IS NOT NULL AND sms_id = ANY ($1)"
            return bool(await self.pool.fetchval(query, ids) == len({*ids}))

        await eventually(all_ended, within=60, because=f"settled: {await self.ends()}")

    async def counts(self, ends: Mapping[str, int]) -> bool:
        """Whether as many SMS as that have these statuses."""
        return ends.items() <= (await self.ends()).items()

    async def tried(self, sms: SmsRequested) -> bool:
        """Whether an attempt has begun and ended."""
        status: str = (await self.row(sms)).get("status", "claimed")
        return status != "claimed"

    async def took(self, count: int) -> bool:
        """Whether the carrier took so many texts."""
        return len(await self.texts()) >= count

    async def has_letters(self, queue: str, count: int) -> bool:
        return (await dead_letters.counts(self.amqp_url))[queue] == count

    async def empty(self, queue: str) -> None:
        """Wait until nothing waits in `queue` and its retry tiers."""

        async def nothing_waits() -> bool:
            connection = await aio_pika.connect(self.amqp_url)
            async with connection, connection.channel() as channel:
                names = [queue, *(f"{queue}.retry.{tier}" for tier in topology.TIERS)]
                counts = [(await channel.declare_queue(name, passive=True)).declaration_result for name in names]
            return not any(count.message_count for count in counts)

        await eventually(nothing_waits, every=0.2)

    async def lose_one(self, queue: str) -> None:
        """Take a message out of `queue`, as soon as there is one."""
        connection = await aio_pika.connect(self.amqp_url)
        async with connection, connection.channel() as channel:
            found = await channel.get_queue(queue)
            await eventually(partial(found.get, no_ack=True, fail=False))

    async def check(self, *requests: SmsRequested) -> None:
        """Nothing is lost, and nothing was paid for twice but for attempts recorded as in doubt."""
        paid = await self.texts()
        rows = {sms.text: await self.row(sms) for sms in requests}
        for text, row in rows.items():
            assert row["settled_at"] is not None, row
            assert paid.count(text) <= 1 + row["ambiguous"], row
            assert (paid.count(text) >= 1) or row["status"] != "sent", row
            assert row["status"] in ("sent", "unknown"), row
            assert row["ambiguous"] >= 1 or row["status"] == "sent", row
        assert set(paid) <= set(rows)


@pytest.fixture(scope="session")
async def broker(rabbitmq_server: RabbitServer) -> AsyncIterator[str]:
    """A virtual host with every queue, for all tests here: each starts with empty ones."""
    vhost = await make_vhost(rabbitmq_server)
    await lay(vhost.amqp_url)
    yield vhost.amqp_url
    await drop_vhost(vhost)


@pytest.fixture
async def carrier() -> AsyncIterator[httpx.AsyncClient]:
    """The simulated carrier, through its control pages."""
    app = sms_simulator(Login("spacehub", "secret-of-the-account"))
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    async with httpx.AsyncClient(base_url=site.name, timeout=5.0, trust_env=False) as client:
        yield client
    await runner.cleanup()


@pytest.fixture
async def house(
    broker: str, database_url: str, pool: Pool, carrier: httpx.AsyncClient, tmp_path: Path
) -> AsyncIterator[House]:
    environment = {
        "PATH": os.environ["PATH"],
        "SMS_SENDER_DATABASE_URL": database_url,
        "SMS_SENDER_AMQP_URL": broker,
        "SMS_SENDER_GATEWAY_URL": str(carrier.base_url.join("/sms")),
        "SMS_SENDER_GATEWAY_USERNAME": "spacehub",
        "SMS_SENDER_GATEWAY_PASSWORD": "secret-of-the-account",
        "SMS_SENDER_PHONE_KEY": "a key for tests",
        "SMS_SENDER_QUIET_HOURS": "off",
    }
    house = House(pool, broker, carrier, Publisher(broker, name="tests"), environment, tmp_path)
    await _purge(broker)
    yield house
    for program in house.programs:
        program.kill()
    for port in house.ports:
        release_port(port)
    await house.publisher.close()


async def _purge(amqp_url: str) -> None:
    connection = await aio_pika.connect(amqp_url)
    channel = await (await connection.channel()).get_underlay_channel()
    for queue in topology.queues():
        if queue.name.startswith("sms-sender."):
            await channel.queue_purge(queue.name)
    await connection.close()
