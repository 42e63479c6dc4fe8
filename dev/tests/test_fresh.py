"""Databases and virtual hosts for tests are real, empty and apart from each other."""

import aio_pika
import asyncpg
from spacehub_dev.provisioning.fresh import MakeDatabase, Vhost


async def lay_a_table(url: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute("CREATE TABLE bills (id text)")
    await connection.execute("INSERT INTO bills VALUES ('first')")
    await connection.close()


async def test_each_migrated_database_is_a_copy_of_its_own(make_database: MakeDatabase) -> None:
    one, other = await make_database(lay_a_table), await make_database(lay_a_table)

    connection = await asyncpg.connect(one)
    await connection.execute("DELETE FROM bills")
    await connection.close()

    connection = await asyncpg.connect(other)
    assert await connection.fetchval("SELECT count(*) FROM bills") == 1
    await connection.close()


async def test_a_plain_database_is_empty_and_utf8(database: str) -> None:
    connection = await asyncpg.connect(database)

    tables = await connection.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
    encoding = await connection.fetchval("SHOW server_encoding")

    assert (tables, encoding) == (0, "UTF8")
    await connection.close()


async def test_a_vhost_takes_a_message_and_gives_it_back(vhost: Vhost) -> None:
    connection = await aio_pika.connect(vhost.amqp_url)
    channel = await connection.channel()
    queue = await channel.declare_queue("letters", durable=True, arguments={"x-queue-type": "quorum"})

    await channel.default_exchange.publish(aio_pika.Message("Сайн уу".encode()), routing_key="letters")
    message = await queue.get(timeout=5)

    assert message.body.decode() == "Сайн уу"
    await message.ack()
    await connection.close()
