"""Looking into a queue: its messages one after the other, each at most once, and none gone unless it is acked."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiormq
from aiormq.abc import DeliveredMessage

from spacehub import rabbit
from spacehub.errors import Away

_PATIENCE = 10.0
"""Seconds for one answer of the broker."""


async def taken(channel: aiormq.Channel, queue: str, limit: int | None) -> AsyncIterator[DeliveredMessage]:
    """The messages that are in `queue` now, or the first `limit`; those not acked return when the channel closes."""
    for _ in range(min(await count(channel, queue), limit if limit is not None else 1 << 62)):
        message = await channel.basic_get(queue, timeout=_PATIENCE)
        if message.delivery_tag is None:
            return
        yield message


async def count(channel: aiormq.Channel, queue: str) -> int:
    """How many messages are ready in `queue`."""
    return (await channel.queue_declare(queue, passive=True)).message_count or 0


@asynccontextmanager
async def channel(url: str, *, name: str = "dead letters") -> AsyncIterator[aiormq.Channel]:
    """A channel of its own. Raises Away when the broker cannot be reached or has no such queue."""
    connection = await rabbit.connect(url, name=name)
    try:
        opened = await connection.channel(publisher_confirms=False)
        underlay = await opened.get_underlay_channel()
        assert isinstance(underlay, aiormq.Channel)
        yield underlay
    except aiormq.exceptions.ChannelNotFoundEntity as missing:
        raise Away("rabbitmq: the queue does not exist; `spacehub topology apply` makes it") from missing
    except (OSError, aiormq.exceptions.AMQPError, aiormq.exceptions.ChannelInvalidStateError) as fault:
        raise Away(f"rabbitmq: {type(fault).__name__}") from fault
    finally:
        await rabbit.close(connection)
