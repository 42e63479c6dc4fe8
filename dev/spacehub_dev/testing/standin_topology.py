"""Declares the stand-in system's one queue: `python -m spacehub_dev.testing.standin_topology AMQP_URL`."""

import asyncio
import sys

import aio_pika

QUEUE = "postman.letters"


async def declare(amqp_url: str) -> None:
    """Make the queue, a quorum queue as all of ours are."""
    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel()
        await channel.declare_queue(QUEUE, durable=True, arguments={"x-queue-type": "quorum"})


if __name__ == "__main__":
    asyncio.run(declare(sys.argv[1]))
