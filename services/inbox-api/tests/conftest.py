"""An inbox for each test, the API before it, and a house where the processes of inbox-api run."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI
from inbox_api.app import MIGRATIONS
from inbox_api.preferring_store import PostgresContacts
from inbox_api.reading_store import PostgresFeeds
from inbox_api.routes.api import public_api
from inbox_api.streaming import Limits, Streams
from inbox_api.tables import Table
from inbox_api.testing import BAT, Inbox
from inbox_api.tracing_store import PostgresRecords
from spacehub import database, migrating, topology
from spacehub.auth.keys import KeyRing
from spacehub.auth.tokens import Verifier
from spacehub.rabbit import Publisher
from spacehub.testing.broker import Broker, broker_at, lay
from spacehub.testing.issuing import AUDIENCE, ISSUER, Issuer
from spacehub_dev.provisioning.fresh import FreshDatabases, MakeDatabase, drop_vhost, make_vhost
from spacehub_dev.provisioning.ports import release_port
from spacehub_dev.provisioning.servers import RabbitServer

from .house import House

ISSUING = Issuer()

TABLES = (*Table.metadata.tables, "outbox")

Emptied = Callable[[int], Awaitable[Inbox]]
ClientOf = Callable[[UUID], httpx.AsyncClient]


def migrate(url: str) -> None:
    migrating.upgrade(MIGRATIONS, url)


@pytest.fixture(scope="session")
async def emptied(fresh_databases: FreshDatabases) -> AsyncIterator[Emptied]:
    """Inboxes for tests that leave the tables as they are: two databases for all of them, emptied for each."""
    urls = [await fresh_databases.make(migrate) for _ in range(2)]
    pools = [await database.open_pool(url, size=8) for url in urls]

    async def inbox(number: int) -> Inbox:
        async with database.reading(pools[number]) as connection:
            await connection.execute(f"TRUNCATE {', '.join(TABLES)} RESTART IDENTITY")
        return Inbox(pools[number])

    yield inbox
    for url, pool in zip(urls, pools, strict=True):
        await pool.close()
        await fresh_databases.drop(url)


@pytest.fixture
async def inbox(emptied: Emptied) -> Inbox:
    """An empty inbox."""
    return await emptied(0)


@pytest.fixture
async def another_inbox(emptied: Emptied) -> Inbox:
    """A second one, to compare with."""
    return await emptied(1)


@pytest.fixture
async def inbox_url(make_database: MakeDatabase) -> str:
    """A database of the test's own."""
    return await make_database(migrate)


@pytest.fixture
async def own_inbox(inbox_url: str) -> AsyncIterator[Inbox]:
    """An inbox on a database of the test's own."""
    pool = await database.open_pool(inbox_url, size=8)
    yield Inbox(pool)
    await pool.close()


def api_of(inbox: Inbox, **limits: Any) -> tuple[FastAPI, Streams]:
    """The API on the inbox's database and clock, and its streams; `limits` are those of the streams."""

    async def fetch() -> bytes:
        return ISSUING.jwks()

    feeds = PostgresFeeds(inbox.pool)
    streams = Streams(feeds, limits=Limits(**limits))
    api = public_api(
        authenticate=Verifier(KeyRing(fetch, algorithms=("RS256",)), ISSUER, AUDIENCE).caller,
        feeds=feeds,
        streams=streams,
        contacts=PostgresContacts(inbox.pool),
        records=PostgresRecords(inbox.pool),
        phone_key=inbox.rules.phone_key,
        clock=lambda: inbox.now,
    )
    return api, streams


def client_for(user: UUID, api: FastAPI, **claims: Any) -> httpx.AsyncClient:
    """Calls `api` for the user; `claims` go into the token."""
    headers = {"Authorization": f"Bearer {ISSUING.token(user, **claims)}"}
    return httpx.AsyncClient(transport=httpx.ASGITransport(api), base_url="http://inbox", headers=headers)


@pytest.fixture
async def client_of(inbox: Inbox) -> AsyncIterator[ClientOf]:
    """`client_of(user)` calls the API for that user."""
    api, _ = api_of(inbox)
    clients: list[httpx.AsyncClient] = []

    def make(user: UUID) -> httpx.AsyncClient:
        clients.append(client_for(user, api))
        return clients[-1]

    yield make
    for client in clients:
        await client.aclose()


@pytest.fixture
def bat(client_of: ClientOf) -> httpx.AsyncClient:
    return client_of(BAT)


@pytest.fixture(scope="session")
async def broker(rabbitmq_server: RabbitServer) -> AsyncIterator[Broker]:
    """A virtual host with every queue, for all tests here: each starts with empty ones."""
    vhost = await make_vhost(rabbitmq_server)
    await lay(vhost.amqp_url)
    async with broker_at(vhost.amqp_url, vhost.management_url) as broker:
        yield broker
    await drop_vhost(vhost)


@pytest.fixture
async def house(broker: Broker, own_inbox: Inbox, inbox_url: str, tmp_path: Path) -> AsyncIterator[House]:
    for queue in topology.queues():
        await broker.channel.queue_purge(queue.name)
    environment = {
        "PATH": os.environ["PATH"],
        "INBOX_API_DATABASE_URL": inbox_url,
        "INBOX_API_AMQP_URL": broker.url,
        "INBOX_API_PHONE_KEY": "a key for tests only",
        "INBOX_API_SEAL_KEY": "a seal for tests only",
        "INBOX_API_QUIET_HOURS": "off",
        "INBOX_API_JWT_ISSUER": ISSUER,
        "INBOX_API_JWT_AUDIENCE": AUDIENCE,
        "INBOX_API_JWT_JWKS_FILE": str(tmp_path / "jwks.json"),
    }
    (tmp_path / "jwks.json").write_bytes(ISSUING.jwks())
    house = House(own_inbox, broker, Publisher(broker.url, name="tests"), environment, tmp_path)
    yield house
    for program in house.programs:
        program.kill()
    for port in house.ports:
        release_port(port)
    await house.publisher.close()
