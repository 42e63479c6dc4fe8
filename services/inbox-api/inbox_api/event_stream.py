"""Server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html) as an HTTP response."""

import asyncio
from collections.abc import AsyncIterator, Callable

import structlog
from fastapi.sse import format_sse_event
from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

log = structlog.get_logger()

HEARTBEAT = b": still here\n\n"


def event(name: str, *, id: str, data: bytes) -> bytes:
    """One event on the wire."""
    return format_sse_event(event=name, id=id, data_str=data.decode())


def opening(*, id: str, retry_ms: int) -> bytes:
    """What a stream begins with: where it begins, so that a client cut off before the first event resumes rightly."""
    return format_sse_event(id=id, retry=retry_ms)


class EventStream(StreamingResponse):
    """A response that ends when its chunks do, its client leaves, or takes longer than `patience` seconds for one.

    The next chunk is asked for only when the last one is on its way. `finished` is called once, however it ends.
    """

    media_type = "text/event-stream"

    def __init__(self, chunks: AsyncIterator[bytes], *, patience: float, finished: Callable[[], None]) -> None:
        super().__init__(chunks, headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        self._patience = patience
        self._finished = finished

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._finished()

    async def stream_response(self, send: Send) -> None:
        async def send_in_time(message: Message) -> None:
            try:
                async with asyncio.timeout(self._patience):
                    await send(message)
            except TimeoutError:
                raise _TooSlow from None

        try:
            await super().stream_response(send_in_time)
        except _TooSlow:
            log.info("stream_client_too_slow")


class _TooSlow(Exception):
    """The client does not take what it is sent."""
