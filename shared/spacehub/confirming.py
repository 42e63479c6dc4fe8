"""A channel in confirm mode on which a batch leaves as one write, and the broker's answer for each message of it.

aiormq looks after the connection (login, TLS, heartbeats, alarms, closing); its own publish costs a lock, a future and
a write for each message, and its confirms a walk over all that are open. Here a batch costs one of each.
"""

import asyncio
import enum
import struct
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from uuid import uuid4

import aiormq
import structlog
from aiormq.abc import AbstractConnection, ChannelFrame, ConfirmationFrameType
from pamqp import frame as frames
from pamqp.body import ContentBody
from pamqp.commands import Basic
from pamqp.header import ContentHeader

log = structlog.get_logger()

NUMBER = 1
"""The channel's number: it is alone on its connection."""

PERSISTENT = 2


class Confirm(enum.Enum):
    """What became of one published message."""

    ACKED = "acked"
    """The broker has it, in every queue it belongs to."""
    RETURNED = "returned"
    """No queue is bound for it: it is not published."""
    REFUSED = "refused"
    """The broker could not take it (a full queue, a leader lost), will not from us, or it cannot be written as AMQP."""
    UNCERTAIN = "uncertain"
    """No answer came; it may arrive. Publish it again under the same message id."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message to publish, persistent and mandatory. The default exchange `""` routes to the queue of that name.

    `properties` holds further AMQP properties, such as `correlation_id`.
    """

    exchange: str
    routing_key: str
    body: bytes
    message_id: str
    content_type: str | None = None
    headers: Mapping[str, Any] = field(default_factory=dict)
    properties: Mapping[str, Any] = field(default_factory=dict)


class Batch:
    """Messages that left together. `confirms` holds an answer for each, UNCERTAIN until there is one."""

    def __init__(self, size: int) -> None:
        self.confirms = [Confirm.UNCERTAIN] * size
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._open = size

    def answer(self, place: int, confirm: Confirm) -> None:
        """The broker's answer for one message; the first one counts."""
        self.confirms[place] = confirm
        self._open -= 1
        if self._open == 0:
            self.end()

    def end(self) -> None:
        """No further answer is to be waited for."""
        if not self.ended.done():
            self.ended.set_result(None)


_Route = tuple[str, str, str]
"""What a returned message is recognised by: exchange, routing key, message id."""


class ConfirmingChannel(aiormq.Channel):
    """Made by `open_channel`. The broker numbers what it is sent on a channel, and confirms by these numbers.

    A return names no number. Messages of one route are either all bound or all not, so the first return of a route is
    for the first that is open; the broker sends it before the confirm of the same message.
    """

    def __init__(self, connection: AbstractConnection) -> None:
        super().__init__(connection, NUMBER, publisher_confirms=True)
        self._sent = 0
        self._open: dict[int, tuple[Batch, int, _Route]] = {}
        self._routes: dict[_Route, deque[int]] = {}
        self.closing.add_done_callback(lambda _: self._end_all())

    @property
    def was_forbidden(self) -> bool:
        """Whether the broker closed it because our user may not publish something that was sent."""
        return isinstance(self._close_exception, aiormq.exceptions.ChannelAccessRefused)

    async def send(self, messages: Sequence[Outgoing]) -> Batch:
        """Hand all of `messages` to the connection; the batch ends when the broker has answered each, or is lost.

        What cannot be written as AMQP is refused here. Raises what the client raises on a closed channel.
        """
        batch = Batch(len(messages))
        written: list[tuple[int, _Route]] = []
        payload = bytearray()
        for place, message in enumerate(messages):
            message_id = message.message_id or uuid4().hex
            try:
                payload += _written(message, message_id, self.max_content_size)
            except (TypeError, ValueError, OverflowError, struct.error) as fault:
                log.error("unpublishable", fault=type(fault).__name__)
                batch.answer(place, Confirm.REFUSED)
            else:
                written.append((place, (message.exchange, message.routing_key, message_id)))
        if self.is_closed:
            raise aiormq.exceptions.ChannelInvalidStateError("closed")
        if written:
            await self.write_queue.put(ChannelFrame(bytes(payload), should_close=False))
        for place, route in written:  # without a pause since `put`, so in the order in which batches leave
            self._sent += 1
            self._open[self._sent] = batch, place, route
            self._routes.setdefault(route, deque()).append(self._sent)
        if self.closing.done():
            self._end_all()  # it was lost while this waited for its turn
        return batch

    async def _on_return_frame(self, frame: Basic.Return) -> None:
        header = await self._get_frame()
        assert isinstance(header, ContentHeader)
        await self._read_content(frame, header)
        route = frame.exchange or "", frame.routing_key or "", header.properties.message_id or ""
        numbers = self._routes.get(route)
        if not numbers:
            log.error("returned_unasked", exchange=frame.exchange, routing_key=frame.routing_key)
            return
        self._answer(numbers[0], Confirm.RETURNED)

    async def _on_confirm_frame(self, frame: ConfirmationFrameType) -> None:
        confirm = Confirm.ACKED if isinstance(frame, Basic.Ack) else Confirm.REFUSED
        last = frame.delivery_tag or 0
        if isinstance(frame, Basic.Reject) or not frame.multiple:
            self._answer(last, confirm)
            return
        while self._open and (first := next(iter(self._open))) <= last:
            self._answer(first, confirm)

    def _answer(self, number: int, confirm: Confirm) -> None:
        if (found := self._open.pop(number, None)) is None:
            return  # returned before, and now confirmed
        batch, place, route = found
        numbers = self._routes[route]
        numbers.remove(number)
        if not numbers:
            del self._routes[route]
        batch.answer(place, confirm)

    def _end_all(self) -> None:
        for batch, _, _ in self._open.values():
            batch.end()
        self._open.clear()
        self._routes.clear()


async def open_channel(connection: AbstractConnection) -> ConfirmingChannel:
    """The one channel of a connection that is for publishing alone."""
    channel = ConfirmingChannel(connection)
    connection.channels[NUMBER] = channel
    await channel.open()
    return channel


def _written(message: Outgoing, message_id: str, most: int) -> bytes:
    """The frames of one message; its body in pieces of up to `most` bytes."""
    properties = Basic.Properties(
        content_type=message.content_type,
        delivery_mode=PERSISTENT,
        message_id=message_id,
        headers=dict(message.headers),
        **message.properties,
    )
    body = message.body
    header = frames.marshal(ContentHeader(properties=properties, body_size=len(body)), NUMBER)
    pieces = [frames.marshal(ContentBody(body[start : start + most]), NUMBER) for start in range(0, len(body), most)]
    return b"".join([_method(message.exchange, message.routing_key), header, *pieces])


@lru_cache(maxsize=1024)
def _method(exchange: str, routing_key: str) -> bytes:
    """The frame that says where a message goes: there are few of them, and the client writes them slowly."""
    return frames.marshal(Basic.Publish(exchange=exchange, routing_key=routing_key, mandatory=True), NUMBER)
