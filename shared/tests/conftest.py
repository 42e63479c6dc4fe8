"""What the tests of the plumbing share: a virtual host with a hand in it, and an empty outbox."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from spacehub import database, outbox
from spacehub.rabbit import Publisher
from spacehub.testing.broker import Broker, broker_at
from spacehub_dev.provisioning.fresh import MakeDatabase, Vhost


@pytest.fixture(scope="module")
async def broker(module_vhost: Vhost) -> AsyncIterator[Broker]:
    """A virtual host that the tests of one module share; each makes queues of its own."""
    async with broker_at(module_vhost.amqp_url, module_vhost.management_url) as hand:
        yield hand


@pytest.fixture(scope="module")
async def publisher(broker: Broker) -> AsyncIterator[Publisher]:
    """A publisher to that virtual host."""
    publisher = Publisher(broker.url, name="test publisher")
    yield publisher
    await publisher.close()


@pytest.fixture
async def outbox_url(make_database: MakeDatabase) -> str:
    """The URL of a database with an empty outbox."""
    return await make_database(_lay_outbox)


@pytest.fixture
async def connection(outbox_url: str) -> AsyncIterator[Any]:
    """A connection to that database, as the services prepare theirs."""
    connection = await database.connect(outbox_url)
    yield connection
    await connection.close()


async def _lay_outbox(url: str) -> None:
    connection = await database.connect(url)
    for statement in (outbox.CREATE_TABLE, *outbox.CREATE_INDEXES):
        await connection.execute(statement)
    await connection.close()
