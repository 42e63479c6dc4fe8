"""An HTTP server made of raw bytes: a script decides what each connection gets, down to half a reply and a reset."""

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager


class RawServer:
    """What the server heard: every whole request in order, and how many connections it accepted."""

    def __init__(self, port: int, scheme: str) -> None:
        self.url = f"{scheme}://127.0.0.1:{port}"
        self.requests: list[bytes] = []
        self.connections = 0


class Line:
    """One connection that the server accepted."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, heard: RawServer) -> None:
        self.reader = reader
        self.writer = writer
        self._heard = heard

    async def read_request(self) -> bytes:
        """The next request whole, as it came; it needs a Content-Length."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        request = head + await self.reader.readexactly(length)
        self._heard.requests.append(request)
        return request

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def reply(self, status: str, body: bytes = b"", *headers: str) -> None:
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
        await self.send("\r\n".join(lines).encode() + body)

    def reset(self) -> None:
        """Drop the connection with a TCP reset."""
        raw = self.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def wait_for_the_end(self) -> None:
        """Say nothing more, until the other side leaves."""
        with contextlib.suppress(ConnectionError):
            await self.reader.read()


Script = Callable[[Line], Awaitable[None]]


@asynccontextmanager
async def raw_server(script: Script, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[RawServer]:
    """A server on 127.0.0.1 that plays `script` on every connection and closes it when the script returns."""
    scripts: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        scripts.add(task)
        server.connections += 1
        try:
            await script(Line(reader, writer, server))
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    listener = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls)
    server = RawServer(listener.sockets[0].getsockname()[1], "https" if tls else "http")
    try:
        yield server
    finally:
        listener.close()
        for task in scripts:
            task.cancel()
        await asyncio.gather(*scripts)
