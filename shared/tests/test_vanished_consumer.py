"""A consumer that the broker no longer counts is noticed, though nobody said a word to us."""

import asyncio

import pytest
from prometheus_client import REGISTRY
from spacehub.consuming.session import Session
from spacehub.errors import Away
from spacehub.testing.broker import Broker
from spacehub.testing.waiting import eventually


def counted(queue: str) -> float | None:
    return REGISTRY.get_sample_value("spacehub_consumers", {"queue": queue})


async def working(session: Session) -> None:
    while await session.take(1):
        pass


async def cancel_behind_its_back(session: Session) -> None:
    """As if the broker had dropped the consumer and the notice had got lost."""
    await session._channel.basic_cancel(session._tag or "")


async def test_a_session_whose_consumer_is_gone_is_lost(broker: Broker) -> None:
    queue = await broker.plain_queue()

    async with Session(queue, url=broker.url, prefetch=1, look=0.02) as session:
        running = asyncio.ensure_future(session.run([working(session)], stopping=asyncio.Event()))
        await eventually(lambda: counted(queue) == 1)
        await cancel_behind_its_back(session)

        with pytest.raises(Away):
            await running


async def test_a_session_whose_consumer_lives_stays(broker: Broker) -> None:
    queue, stopping = await broker.plain_queue(), asyncio.Event()

    async with Session(queue, url=broker.url, prefetch=1, look=0.001) as session:
        running = asyncio.ensure_future(session.run([working(session)], stopping=stopping))
        await eventually(lambda: counted(queue) == 1)
        async with Session(queue, url=broker.url, prefetch=1, look=0.001) as other:
            also = asyncio.ensure_future(other.run([working(other)], stopping=stopping))
            await eventually(lambda: counted(queue) == 2)
            stopping.set()
            await asyncio.gather(running, also)

            assert not session.is_lost
            assert not other.is_lost
            assert counted(queue) == 0
