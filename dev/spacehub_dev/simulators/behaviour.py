"""How a simulator is told to behave, for how many requests, and how a connection is made to suffer for it."""

import asyncio
import socket
import struct
from typing import Annotated, Literal

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field


class Behaviour(BaseModel):
    """What the next requests get; the whole of it holds for `count` requests (None: until changed), then plain ok.

    `latency_ms` delays the answer, not the acceptance. `retry_after` (seconds) goes out with 429 and 503.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    mode: Literal["ok", "500", "503", "429", "hang", "accept_then_reset", "garbage", "401"] = "ok"
    latency_ms: Annotated[int, Field(ge=0, le=3_600_000)] = 0
    retry_after: Annotated[int, Field(ge=0)] | None = None
    count: Annotated[int, Field(ge=1)] | None = None

    @property
    def status(self) -> int | None:
        """The HTTP status of a mode that is one."""
        return int(self.mode) if self.mode.isdigit() else None


class Conduct:
    """The behaviour in force, and those who hang on it."""

    def __init__(self) -> None:
        self._behaviour = Behaviour()
        self._left: int | None = None
        self._changed = asyncio.Event()

    def change(self, behaviour: Behaviour) -> None:
        """Let `behaviour` hold from the next request on; connections that hang are closed, unanswered."""
        self._behaviour, self._left = behaviour, behaviour.count
        self._changed.set()
        self._changed = asyncio.Event()

    def take(self) -> Behaviour:
        """The behaviour for one request."""
        behaviour = self._behaviour
        if self._left is not None:
            self._left -= 1
            if self._left == 0:
                self._behaviour, self._left = Behaviour(), None
        return behaviour

    async def hang(self, request: web.Request) -> web.Response:
        """Say nothing until the behaviour changes (then the connection is closed) or the client leaves."""
        await self._changed.wait()
        if request.transport is not None:
            request.transport.close()
        return web.Response()


def reset(request: web.Request) -> web.Response:
    """Drop the connection with a TCP reset; the response is for the framework only, it reaches nobody."""
    transport = request.transport
    if transport is not None:
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    return web.Response()
