"""A real HTTP server around an application, for tests that need bytes on a socket."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from spacehub import health
from spacehub.testing.waiting import eventually


@asynccontextmanager
async def served(app: Any, *, longest_head: int | None = None, port: int | None = None) -> AsyncIterator[str]:
    """The URL at which `app` is served while the block runs, as our processes serve theirs."""
    port = port or _free_port()
    stopping = asyncio.Event()
    serve = health.serving(app, host="127.0.0.1", port=port, longest_head=longest_head)
    serving = asyncio.ensure_future(serve(stopping))
    try:
        await eventually(lambda: _listening(port))
        yield f"http://127.0.0.1:{port}"
    finally:
        stopping.set()
        await serving


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


async def _listening(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True
