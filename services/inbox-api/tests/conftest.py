"""A migrated inbox database for each test, and a house where the processes of inbox-api run."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aio_pika
import pytest
from inbox_api.app import MIGRATIONS
from inbox_api.testing import Inbox
from spacehub import database, migrating, topology
from spacehub.events import envelope
from spacehub.events.catalogue import EVENTS_EXCHANGE
from spacehub.rabbit import Confirm, Outgoing, Publisher
from spacehub.testing.broker import Broker, broker_at
from spacehub.testing.waiting import eventually
from spacehub_dev.provisioning.fresh import MakeDatabase, drop_vhost, make_vhost
from spacehub_dev.provisioning.ports import release_port, reserve_port
from spacehub_dev.provisioning.program import Program
from spacehub_dev.provisioning.servers import RabbitServer

if TYPE_CHECKING:
    from spacehub.events.envelope import Event

HERE = Path(__file__).parent


def migrate(url: str) -> None:
    migrating.upgrade(MIGRATIONS, url)


@pytest.fixture
async def inbox_url(make_database: MakeDatabase) -> str:
    return await make_database(migrate)


@pytest.fixture
async def inbox(inbox_url: str) -> AsyncIterator[Inbox]:
    pool = await database.open_pool(inbox_url, size=8)
    yield Inbox(pool)
    await pool.close()


@pytest.fixture
async def another_inbox(make_database: MakeDatabase) -> AsyncIterator[Inbox]:
    """A second one, to compare with."""
    pool = await database.open_pool(await make_database(migrate), size=8)
    yield Inbox(pool)
    await pool.close()


@dataclass
class House:
    """A broker and a database, and the processes of ours between them."""

    inbox: Inbox
    broker: Broker
    publisher: Publisher
    environment: Mapping[str, str]
    directory: Path
    ports: list[int] = field(default_factory=list)
    programs: list[Program] = field(default_factory=list)

    def start(self, verb: str, **settings: str) -> Program:
        """`inbox-api consume` or `forward`."""
        return self._start(verb, [str(Path(sys.executable).with_name("inbox-api")), *verb.split()], settings)

    async def start_stopping(self, point: str) -> Program:
        """A consumer that has come to `point` with one batch and stands still there."""
        program = self._start(f"stopping at {point}", [sys.executable, str(HERE / "stopping_inbox.py"), point], {})
        await eventually(lambda: "stands_still" in program.log.read_text(), because=f"stopping at {point}")
        return program

    def _start(self, name: str, command: list[str], settings: Mapping[str, str]) -> Program:
        self.ports.append(reserve_port())
        environment = {**self.environment, "INBOX_API_HEALTH_PORT": str(self.ports[-1]), **settings}
        name = f"{name} {len(self.programs)}"
        program = Program(name, command, self.directory, self.directory / f"{name}.log", environment)
        self.programs.append(program)
        program.start()
        return program

    async def publish(self, *events: Event) -> None:
        """Publish the events as another domain would."""
        messages = [(event.data.routing_key, envelope.write(event)) for event in events]
        await self.put(
            *(Outgoing(EVENTS_EXCHANGE, key, told.body, told.id, told.content_type) for key, told in messages)
        )

    async def put(self, *messages: Outgoing) -> None:
        assert set(await self.publisher.publish(messages, within=20)) == {Confirm.ACKED}

    async def takes_in(self, *events: Event) -> None:
        """Wait until each of them is on record."""

        async def all_on_record() -> bool:
            rows = await self.inbox.rows("SELECT event_id FROM events")
            return {event.id for event in events} <= {row["event_id"] for row in rows}

        await eventually(all_on_record, within=30, because="events on record")

    async def requests(self, queue: str, count: int) -> list[Any]:
        """The data of the next `count` requests for a sender, taken out of its queue."""
        await eventually(partial(self._holds, queue, count), within=30, because=f"{count} in {queue}")
        return [
            envelope.read(
                message.body,
                content_type=message.header.properties.content_type,
                headers=message.header.properties.headers or {},
            ).data
            for message in await self.broker.take(queue)
        ]

    async def empties(self, queue: str) -> None:
        """Wait until nothing waits in `queue` and its retry tiers; what is in somebody's hands does not count."""
        names = [queue, *(f"{queue}.retry.{tier}" for tier in topology.TIERS)]

        async def nothing_waits() -> bool:
            return not any([await self.broker.count(name) for name in names])

        await eventually(nothing_waits)

    async def _holds(self, queue: str, count: int) -> bool:
        return await self.broker.count(queue) >= count


@pytest.fixture(scope="session")
async def broker(rabbitmq_server: RabbitServer) -> AsyncIterator[Broker]:
    """A virtual host with every queue, for all tests here: each starts with empty ones."""
    vhost = await make_vhost(rabbitmq_server)
    connection = await aio_pika.connect(vhost.amqp_url)
    await topology.declare(connection)
    await connection.close()
    async with broker_at(vhost.amqp_url, vhost.management_url) as broker:
        yield broker
    await drop_vhost(vhost)


@pytest.fixture
async def house(broker: Broker, inbox: Inbox, inbox_url: str, tmp_path: Path) -> AsyncIterator[House]:
    for queue in topology.queues():
        await broker.channel.queue_purge(queue.name)
    environment = {
        "PATH": os.environ["PATH"],
        "INBOX_API_DATABASE_URL": inbox_url,
        "INBOX_API_AMQP_URL": broker.url,
        "INBOX_API_PHONE_KEY": "a key for tests only",
        "INBOX_API_SEAL_KEY": "a seal for tests only",
        "INBOX_API_QUIET_HOURS": "off",
    }
    house = House(inbox, broker, Publisher(broker.url, name="tests"), environment, tmp_path)
    yield house
    for program in house.programs:
        program.kill()
    for port in house.ports:
        release_port(port)
    await house.publisher.close()
