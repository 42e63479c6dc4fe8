"""What the tests of the plumbing share: a virtual host with a hand in it, and an empty outbox."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from spacehub import database, outbox
from spacehub.rabbit import Publisher
from spacehub.testing.broker import Broker, broker_at
from spacehub_dev.provisioning.fresh import FreshDatabases, Vhost


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


@pytest.fixture(scope="module")
async def outbox_url(fresh_databases: FreshDatabases) -> AsyncIterator[str]:
    """The URL of a database with an outbox, which the tests of one module share."""
    url = await fresh_databases.make(_lay_outbox)
    yield url
    await fresh_databases.drop(url)


@pytest.fixture
async def connection(outbox_url: str) -> AsyncIterator[Any]:
    """A connection to that database, as the services prepare theirs; the outbox is empty."""
    connection = await database.connect(outbox_url)
    await connection.execute("TRUNCATE outbox")
    yield connection
    await connection.close()


async def _lay_outbox(url: str) -> None:
    connection = await database.connect(url)
    for statement in (outbox.CREATE_TABLE, *outbox.CREATE_INDEXES):
        await connection.execute(statement)
    await connection.close()
