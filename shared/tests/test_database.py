"""What the database cannot do now is told from what is wrong with a statement: only the first one pauses."""

import asyncio
from typing import Any

import asyncpg
import pytest
from spacehub import database
from spacehub.errors import Away
from spacehub.lending import Connections
from spacehub.testing.proxy import proxy_to
from spacehub.testing.waiting import eventually
from spacehub_dev.provisioning.fresh import MakeDatabase

SECRET = "99112233"
KILL_OTHERS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"""


async def lent(url: str, *, size: int) -> Connections:
    return Connections(url, size=size)


WAYS: dict[str, Any] = {"the driver's pool": database.open_pool, "lent connections": lent}


@pytest.fixture(params=WAYS.values(), ids=list(WAYS))
async def pool(outbox_url: str, request: pytest.FixtureRequest) -> Any:
    pool = await request.param(outbox_url, size=4)
    yield pool
    await pool.close()


async def fails_with(fault: Exception) -> None:
    async with database.mapped():
        raise fault


@pytest.mark.parametrize(
    "fault",
    [
        ConnectionRefusedError(),
        OSError("no route to host"),
        TimeoutError(),
        asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation"),
        asyncpg.CannotConnectNowError("the database system is starting up"),
        asyncpg.AdminShutdownError("terminating connection due to administrator command"),
        asyncpg.CrashShutdownError("another server process crashed"),
        asyncpg.QueryCanceledError("canceling statement due to statement timeout"),
        asyncpg.DatabaseDroppedError("gone"),
        asyncpg.TooManyConnectionsError("sorry, too many clients already"),
        asyncpg.DiskFullError("could not extend file"),
        asyncpg.OutOfMemoryError("out of memory"),
        asyncpg.DeadlockDetectedError("deadlock detected"),
        asyncpg.SerializationError("could not serialize access"),
        asyncpg.LockNotAvailableError("could not obtain lock"),
        asyncpg.ReadOnlySQLTransactionError("cannot execute INSERT in a read-only transaction"),
        asyncpg.PostgresIOError("could not read block"),
        asyncpg.IdleInTransactionSessionTimeoutError("terminating connection"),
        asyncpg.InvalidPasswordError("password authentication failed"),
        asyncpg.InvalidCatalogNameError("database does not exist"),
        asyncpg.InterfaceError("connection is closed"),
        asyncpg.InterfaceError("pool is closing"),
        asyncpg.InternalClientError("cannot switch to state 12; another operation (15) is in progress"),
        asyncpg.InternalClientError("not connected"),
    ],
    ids=lambda fault: f"{type(fault).__name__} {fault}",
)
async def test_condition_of_the_database_is_away(fault: Exception) -> None:
    with pytest.raises(Away, match=r"^postgresql: "):
        await fails_with(fault)


@pytest.mark.parametrize(
    "fault",
    [
        asyncpg.UniqueViolationError("duplicate key"),
        asyncpg.NotNullViolationError("null value"),
        asyncpg.ForeignKeyViolationError("not present"),
        asyncpg.UndefinedTableError("no such table"),
        asyncpg.UndefinedColumnError("no such column"),
        asyncpg.PostgresSyntaxError("syntax error"),
        asyncpg.DataError("invalid input for query argument"),
        asyncpg.InsufficientPrivilegeError("permission denied"),
        asyncpg.InterfaceError("cannot perform operation: another operation is in progress"),
        asyncpg.InternalClientError("no decoder for OID 4711"),
        KeyError("id"),
        Away("rabbitmq: away"),
    ],
    ids=lambda fault: type(fault).__name__,
)
async def test_fault_of_a_statement_stays_what_it_is(fault: Exception) -> None:
    with pytest.raises(type(fault)) as raised:
        await fails_with(fault)

    assert raised.value is fault


async def test_real_faults_of_statements_are_not_away(pool: Any) -> None:
    for statement in ("SELECT * FROM nowhere", "SELEKT 1", "SELECT 1 / 0", "INSERT INTO outbox DEFAULT VALUES"):
        with pytest.raises(asyncpg.PostgresError):
            async with database.reading(pool) as connection:
                await connection.execute(statement)


async def test_fault_does_not_quote_the_row(pool: Any) -> None:
    with pytest.raises(asyncpg.NotNullViolationError) as raised:
        async with database.transaction(pool) as connection:
            await connection.execute("INSERT INTO outbox (message_id) VALUES ($1)", SECRET)

    assert SECRET not in str(raised.value)


@pytest.mark.parametrize("context", [database.transaction, database.reading])
async def test_server_that_ends_the_connection_in_mid_query_is_away(pool: Any, outbox_url: str, context: Any) -> None:
    async def long_query() -> None:
        async with context(pool) as connection:
            await connection.execute("SELECT pg_sleep(60)")

    running = asyncio.ensure_future(long_query())
    killer = await database.connect(outbox_url)
    await eventually(lambda: killer.fetchval("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)'"))
    await killer.execute(KILL_OTHERS)
    await killer.close()

    with pytest.raises(Away):
        await running
    assert await eventually(lambda: database.answers(pool))


async def test_connection_that_was_ended_while_idle_is_replaced(pool: Any, outbox_url: str) -> None:
    async with database.reading(pool) as connection:
        await connection.fetchval("SELECT 1")
    killer = await database.connect(outbox_url)
    await killer.execute(KILL_OTHERS)
    await killer.close()

    assert await eventually(lambda: database.answers(pool))


@pytest.mark.parametrize("open_pool", WAYS.values(), ids=list(WAYS))
async def test_connection_of_which_the_server_has_taken_leave_is_away_before_it_is_closed(
    outbox_url: str, open_pool: Any
) -> None:
    async with proxy_to(outbox_url) as proxy:
        pool = await open_pool(proxy.url, size=1)
        async with database.reading(pool) as connection:
            pid = await connection.fetchval("SELECT pg_backend_pid()")
        leave_taken = asyncio.Event()

        async def asks() -> None:
            async with database.reading(pool) as connection:
                try:
                    await connection.fetchval("SELECT 1")
                finally:
                    proxy.unblock()

        def holds_the_end(said: bytes) -> bool:
            if b"57P01" in said:
                proxy.freeze()
                leave_taken.set()
            return False

        proxy.loses = holds_the_end
        other = await database.connect(outbox_url)
        await other.execute("SELECT pg_terminate_backend($1)", pid)
        await leave_taken.wait()
        await other.execute("SELECT 1")  # by the time that it is answered what was said is heard
        await other.close()

        with pytest.raises(Away):
            await asks()
        afterwards = await eventually(lambda: database.answers(pool))
        await pool.close()

    assert afterwards


@pytest.mark.parametrize("open_pool", WAYS.values(), ids=list(WAYS))
async def test_pool_opens_without_its_database_and_works_once_it_is_there(outbox_url: str, open_pool: Any) -> None:
    async with proxy_to(outbox_url) as proxy:
        await proxy.shut()
        pool = await open_pool(proxy.url, size=2)
        with pytest.raises(Away):
            async with database.reading(pool):
                pass
        while_away = await database.answers(pool)
        await proxy.open()
        afterwards = await database.answers(pool)
        await pool.close()

    assert (while_away, afterwards) == (False, True)


async def test_connecting_to_nothing_is_away(outbox_url: str) -> None:
    for url in ("postgresql://nobody:s3cret@127.0.0.1:1/nowhere", f"{outbox_url}-nowhere"):
        with pytest.raises(Away) as away:
            await database.connect(url)
        assert "s3cret" not in str(away.value)


async def test_wrong_password_is_away(outbox_url: str) -> None:
    user, _, place = outbox_url.partition("@")

    with pytest.raises(Away):
        await database.connect(f"{user}x@{place}")


async def test_transaction_is_committed_at_the_end_and_rolled_back_after_a_fault(pool: Any) -> None:
    insert = "INSERT INTO outbox (message_id, lane, exchange, routing_key, content_type, body) "
    values = "VALUES ($1, 'standard', '', '', '', '')"

    async def insert_and_fail() -> None:
        async with database.transaction(pool) as connection:
            await connection.execute(insert + values, "lost")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await insert_and_fail()
    async with database.transaction(pool) as connection:
        await connection.execute(insert + values, "kept")

    async with database.reading(pool) as connection:
        assert [row["message_id"] for row in await connection.fetch("DELETE FROM outbox RETURNING *")] == ["kept"]


async def test_json_comes_and_goes_as_values(pool: Any) -> None:
    async with database.reading(pool) as connection:
        assert await connection.fetchval("SELECT $1::jsonb", {"a": [1, "ө"]}) == {"a": [1, "ө"]}


@pytest.mark.parametrize("name", ["timezone", "idle_in_transaction_session_timeout"])
async def test_every_connection_is_prepared_alike(pool: Any, outbox_url: str, name: str) -> None:
    alone = await database.connect(outbox_url)
    async with database.reading(pool) as pooled:
        told = [await connection.fetchval(f"SHOW {name}") for connection in (alone, pooled)]
    await alone.close()

    assert told[0] == told[1]
    assert told[0] in ("UTC", "1min")


async def test_name_of_a_driver_in_the_url_is_understood(make_database: MakeDatabase) -> None:
    url = (await make_database()).replace("postgresql://", "postgresql+asyncpg://")

    connection = await database.connect(url)

    assert await connection.fetchval("SELECT 1") == 1
    await connection.close()
