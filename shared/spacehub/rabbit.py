"""RabbitMQ: connections that are opened anew after a loss, and publishing with confirms.

Publishing and consuming use connections of their own, because an alarm of the broker blocks the publishing one.
"""

import asyncio
from collections.abc import Sequence

import aio_pika
import aiormq
import structlog
from aio_pika.abc import AbstractConnection

from spacehub.confirming import Confirm, ConfirmingChannel, Outgoing, open_channel
from spacehub.decoding import decode_everything
from spacehub.errors import Away, count_away
from spacehub.running import being_cancelled
from spacehub.secret import Secret, now

log = structlog.get_logger()

HEARTBEAT = 10
"""Seconds; a silent broker is noticed after about three of them."""

CONNECT_TIMEOUT = 5.0
CLOSE_TIMEOUT = 2.0


async def connect(url: Secret, *, name: str) -> AbstractConnection:
    """A connection that the broker lists under `name`, by the URL as it is now.

    Raises Away when the broker cannot be reached, or does not know the password (yet).
    """
    decode_everything()
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT):
            return await aio_pika.connect(
                now(url), client_properties={"connection_name": name}, heartbeat=HEARTBEAT, timeout=CONNECT_TIMEOUT
            )
    except asyncio.CancelledError:
        if being_cancelled():
            raise
        count_away("rabbitmq")
        raise Away("rabbitmq: the connection attempt was dropped") from None
    except Exception as fault:  # the client raises whatever ended the connection, be it a bare Exception
        count_away("rabbitmq")
        raise Away(f"rabbitmq: {type(fault).__name__}") from fault


class Publisher:
    """One connection and channel for publishing; connects when first used and again after a loss.

    Safe for many tasks at once.
    """

    def __init__(self, url: Secret, *, name: str) -> None:
        self._url = url
        self._name = name
        self._connection: AbstractConnection | None = None
        self._channel: ConfirmingChannel | None = None
        self._connecting = asyncio.Lock()

    async def publish(self, messages: Sequence[Outgoing], *, within: float = 5.0) -> list[Confirm]:
        """Publish all `messages` together; the answer for each, in order, `within` so many seconds.

        Raises Away when nothing could be published because the broker cannot be reached.
        """
        if not messages:
            return []
        deadline = asyncio.get_running_loop().time() + within
        try:
            async with asyncio.timeout_at(deadline):
                channel = await self._open_channel()
        except TimeoutError:
            raise Away("rabbitmq: no connection in time") from None
        confirms, forbidden = await self._publish_by(channel, messages, deadline)
        if Confirm.UNCERTAIN in confirms and self._channel is channel:
            await self.close()
        if forbidden:  # one message that we may not publish closed the channel under all of them
            await self._publish_apart(messages, confirms, deadline)
        return confirms

    async def _publish_by(
        self, channel: ConfirmingChannel, messages: Sequence[Outgoing], deadline: float
    ) -> tuple[list[Confirm], bool]:
        """The answers in order, and whether the broker closed the channel because something is forbidden."""
        confirms = [Confirm.UNCERTAIN] * len(messages)
        try:
            async with asyncio.timeout_at(deadline):
                batch = await channel.send(messages)
                confirms = batch.confirms
                await batch.ended
        except TimeoutError:
            log.warning("publish_without_answer", open=confirms.count(Confirm.UNCERTAIN))
        except aiormq.exceptions.AMQPError:
            pass  # the channel was lost before anything was handed to it
        return list(confirms), channel.was_forbidden

    async def _publish_apart(self, messages: Sequence[Outgoing], confirms: list[Confirm], deadline: float) -> None:
        """Publish what has no answer again, each routing key by itself: permissions are given by exchange and key."""
        by_key: dict[tuple[str, str], list[int]] = {}
        for place, (message, confirm) in enumerate(zip(messages, confirms, strict=True)):
            if confirm is Confirm.UNCERTAIN:
                by_key.setdefault((message.exchange, message.routing_key), []).append(place)
        for (exchange, key), places in by_key.items():
            apart = Publisher(self._url, name=f"{self._name} apart")  # a channel of its own is a connection of its own
            try:
                channel = await apart._open_channel()
                answers, forbidden = await self._publish_by(channel, [messages[place] for place in places], deadline)
            finally:
                await apart.close()
            if forbidden:
                log.error("forbidden", exchange=exchange, routing_key=key, messages=len(places))
                answers = [Confirm.REFUSED] * len(places)
            for place, answer in zip(places, answers, strict=True):
                confirms[place] = answer

    async def answers(self) -> bool:
        """Whether the broker can be reached now."""
        try:
            channel = await self._open_channel()
        except Away:
            return False
        return not channel.is_closed

    async def close(self) -> None:
        """Drop the connection; the next publish opens another."""
        connection, self._connection, self._channel = self._connection, None, None
        if connection is not None:
            await close(connection)

    async def _open_channel(self) -> ConfirmingChannel:
        async with self._connecting:
            if self._channel is not None and not self._channel.is_closed:
                return self._channel
            await self.close()
            self._connection = await connect(self._url, name=self._name)
            try:
                async with asyncio.timeout(CONNECT_TIMEOUT):
                    self._channel = await open_channel(_underlay(self._connection))
            except Exception as fault:
                await self.close()
                raise Away(f"rabbitmq: {type(fault).__name__}") from fault
            return self._channel


async def close(connection: AbstractConnection) -> None:
    """Close without waiting long for a broker that may be gone."""
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT):
            await connection.close()
    except (Exception, asyncio.CancelledError):
        if being_cancelled():
            raise


def _underlay(connection: AbstractConnection) -> aiormq.abc.AbstractConnection:
    """The connection that aio-pika's stands on."""
    assert connection.transport is not None
    return connection.transport.connection
