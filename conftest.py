"""Real servers for every test that asks: one PostgreSQL and one RabbitMQ a session, started when first needed.

`AMQP_URL` and `DATABASE_URL` are honoured; otherwise the servers are private instances on ports of their own, with
their data in a temporary directory, gone at the end, also after Ctrl-C.

    async def test_something(make_database: MakeDatabase, vhost: Vhost) -> None:
        url = await make_database(migrate)        # migrated once a session, then copied in about 50 ms
        ... connect to url and to vhost.amqp_url

The types come from `spacehub_dev.provisioning.fresh`. A test that kills or freezes a server takes one of its own:
`with provisioned_rabbitmq(directory, report=print, config=["consumer_timeout = 1000"]) as server` from
`spacehub_dev.provisioning.finding`; the session's servers are shared and stay up.
"""

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from spacehub_dev.provisioning.finding import Postgres, Rabbit, provisioned_postgres, provisioned_rabbitmq
from spacehub_dev.provisioning.fresh import FreshDatabases, MakeDatabase, Migrate, Vhost, drop_vhost, make_vhost


@pytest.fixture(scope="session")
def server_directory() -> Iterator[Path]:
    """Where the session's servers keep their data; outside pytest's own tree, which other users may not enter."""
    directory = Path(tempfile.mkdtemp(prefix="spacehub-tests-"))
    directory.chmod(0o711)
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_server(server_directory: Path) -> Iterator[Postgres]:
    """The session's PostgreSQL (without fsync); tests rarely want it directly, but `make_database`."""
    with provisioned_postgres(server_directory, report=print, durable=False) as server:
        yield server


@pytest.fixture(scope="session")
def rabbitmq_server(server_directory: Path) -> Iterator[Rabbit]:
    """The session's RabbitMQ; tests rarely want it directly, but `vhost`."""
    config = ["collect_statistics_interval = 1000"]  # the management API's numbers are a second old, not five
    with provisioned_rabbitmq(server_directory, report=print, config=config) as server:
        yield server


@pytest.fixture(scope="session")
async def fresh_databases(postgres_server: Postgres) -> AsyncIterator[FreshDatabases]:
    """Makes and drops databases; keeps one template for each migration."""
    databases = FreshDatabases(postgres_server.url)
    yield databases
    await databases.drop_templates()


@pytest.fixture
async def make_database(fresh_databases: FreshDatabases) -> AsyncIterator[MakeDatabase]:
    """`await make_database(migrate)` gives the URL of a fresh database; all are dropped when the test ends.

    `migrate(url)` may be async or not (then it runs in a thread) and must close its connections. Pass the same
    function each time: it is the template's key.
    """
    made: list[str] = []

    async def make(migrate: Migrate | None = None) -> str:
        made.append(await fresh_databases.make(migrate))
        return made[-1]

    yield make
    for url in made:
        await fresh_databases.drop(url)


@pytest.fixture
async def database(make_database: MakeDatabase) -> str:
    """The URL of a fresh, empty database."""
    return await make_database()


@pytest.fixture
async def vhost(rabbitmq_server: Rabbit) -> AsyncIterator[Vhost]:
    """A fresh virtual host for one test: `.amqp_url`, `.management_url`, `.name`."""
    fresh = await make_vhost(rabbitmq_server)
    yield fresh
    await drop_vhost(fresh)


@pytest.fixture(scope="module")
async def module_vhost(rabbitmq_server: Rabbit) -> AsyncIterator[Vhost]:
    """A fresh virtual host that the tests of one module share."""
    fresh = await make_vhost(rabbitmq_server)
    yield fresh
    await drop_vhost(fresh)
