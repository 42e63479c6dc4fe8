"""One stay at the broker for one queue: connected, consuming into a buffer, until it is lost or closed."""

import asyncio
from collections.abc import Coroutine, Sequence
from types import TracebackType
from typing import Any, Self

import structlog
from aio_pika.abc import AbstractConnection
from aiormq.abc import AbstractChannel, ChannelFrame, DeliveredMessage
from pamqp import frame as frames
from pamqp.commands import Basic
from prometheus_client import Gauge

from spacehub.errors import Away
from spacehub.rabbit import CLOSE_TIMEOUT, close, connect
from spacehub.running import being_cancelled
from spacehub.secret import Secret

log = structlog.get_logger()

_TIMEOUT = 10.0
LOOK = 10.0
"""Seconds between looks at how many consumers the broker counts."""

_CONSUMERS = Gauge("spacehub_consumers", "Consumers of the queue as the broker counts them, seen from here", ["queue"])


class Session:
    """Use as a context. Raises Away when the broker or the queue is not there.

    Every `look` seconds the broker is asked how many consumers it counts: one may be gone without a word to us.
    """

    def __init__(self, queue: str, *, url: Secret, prefetch: int, look: float = LOOK) -> None:
        self._queue = queue
        self._url = url
        self._prefetch = prefetch
        self._look = look
        self._buffer: asyncio.Queue[DeliveredMessage | None] = asyncio.Queue()
        self._lost = asyncio.Event()
        self._ended = False
        self._settled: list[int] = []
        self._telling: asyncio.Task[None] | None = None
        self._connection: AbstractConnection
        self._channel: AbstractChannel
        self._tag: str | None = None

    async def __aenter__(self) -> Self:
        self._connection = await connect(self._url, name=f"consume {self._queue}")
        try:
            async with asyncio.timeout(_TIMEOUT):
                channel = await self._connection.channel(publisher_confirms=False)
                self._channel = await channel.get_underlay_channel()
                self._channel.closing.add_done_callback(lambda _: self._lost.set())
                self._channel.on_consumer_cancel_callbacks.add(lambda _: self._lost.set())
                await self._channel.basic_qos(prefetch_count=self._prefetch)
                answer = await self._channel.basic_consume(self._queue, self._buffer.put)
                self._tag = answer.consumer_tag
        except Exception as fault:  # the client raises whatever ended the connection, be it a bare Exception
            await close(self._connection)
            raise Away(f"rabbitmq: {self._queue}: {type(fault).__name__}") from fault
        except BaseException:
            await close(self._connection)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        await close(self._connection)

    @property
    def is_lost(self) -> bool:
        """Whether the broker no longer delivers: connection, channel or queue gone."""
        return self._lost.is_set()

    async def run(self, workers: Sequence[Coroutine[Any, Any, None]], *, stopping: asyncio.Event) -> None:
        """Run `workers` until told to stop or until the session is lost; what they have in hand is finished either way.

        Raises Away when the session was lost, and what a worker raised.
        """
        working = [asyncio.create_task(worker) for worker in workers]
        lost = asyncio.create_task(self._lost.wait())
        stop = asyncio.create_task(stopping.wait())
        looking = asyncio.create_task(self._notice_silence())
        try:
            await asyncio.wait([lost, stop, *working], return_when=asyncio.FIRST_COMPLETED)
            await self._stop_delivery()
            await asyncio.wait(working)
            if self._telling is not None:
                await asyncio.wait([self._telling], timeout=CLOSE_TIMEOUT)
            for worker in working:
                worker.result()
            if self.is_lost:
                raise Away("rabbitmq: the broker no longer delivers")
        finally:
            for task in (lost, stop, looking, *working):
                task.cancel()
            await asyncio.gather(lost, stop, looking, *working, return_exceptions=True)
            _CONSUMERS.labels(self._queue).set(0)

    async def take(self, most: int) -> list[DeliveredMessage]:
        """The next messages, one at least and `most` at most; none once delivery was stopped."""
        if self._ended:
            return []
        first = await self._buffer.get()
        if first is None or self._ended:
            self._buffer.put_nowait(None)
            return []
        messages = [first]
        while len(messages) < most and not self._buffer.empty():
            following = self._buffer.get_nowait()
            if following is None:
                self._buffer.put_nowait(None)
                break
            messages.append(following)
        return messages

    async def ack(self, message: DeliveredMessage) -> None:
        """Tell the broker that the message is settled; after a loss it will simply come again.

        Acks of the same moment leave in one write: handlers that wait for one commit end together.
        """
        self._settled.append(message.delivery_tag or 0)
        if self._telling is None or self._telling.done():
            self._telling = asyncio.create_task(self._tell_settled())

    async def _tell_settled(self) -> None:
        while self._settled and not self.is_lost:
            number = self._channel.number
            told = b"".join(frames.marshal(Basic.Ack(delivery_tag=tag), number) for tag in self._settled)
            self._settled.clear()
            try:
                await self._channel.connection.write_queue.put(ChannelFrame(told, should_close=False))
            except Exception:
                self._lost.set()

    async def _notice_silence(self) -> None:
        """Count the session as lost once the broker counts no consumer of its queue, though here is one."""
        channel: AbstractChannel | None = None
        while not self._ended:
            await asyncio.sleep(self._look)
            try:
                async with asyncio.timeout(_TIMEOUT):
                    if channel is None:
                        opened = await self._connection.channel(publisher_confirms=False)
                        channel = await opened.get_underlay_channel()
                    consumers = (await channel.queue_declare(self._queue, passive=True)).consumer_count
            except (Exception, asyncio.CancelledError):  # no answer is no proof: a loss shows at the connection itself
                if being_cancelled():
                    raise
                channel = None
            else:
                _CONSUMERS.labels(self._queue).set(consumers or 0)
                if consumers == 0 and not self._ended:
                    log.error("consumer_vanished", queue=self._queue)
                    self._lost.set()
                    return

    async def _stop_delivery(self) -> None:
        """Take no more: what is buffered and not begun goes back to the queue when the session closes."""
        self._ended = True
        self._buffer.put_nowait(None)
        if self._tag is None or self.is_lost:
            return
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await self._channel.basic_cancel(self._tag)
        except (Exception, asyncio.CancelledError):
            if being_cancelled():
                raise
            self._lost.set()
