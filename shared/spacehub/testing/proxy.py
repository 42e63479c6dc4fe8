"""A TCP proxy in front of a real server: a network that can be cut, blocked and closed without touching the server."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from urllib.parse import urlsplit, urlunsplit


class Proxy:
    """`url` leads to the server through the proxy (at `port`, or any); `connections` counts those accepted so far."""

    def __init__(self, target: str, *, port: int = 0) -> None:
        self._parts = urlsplit(target)
        self._lines: set[_Line] = set()
        self._server: asyncio.Server | None = None
        self._port = port
        self._blocked = False
        self.connections = 0
        self.delay = 0.0
        """Seconds by which everything that the server says comes later."""
        self.loses: Callable[[bytes], bool] = lambda _: False
        """Asked of everything that the server says: True cuts the connection instead of passing it on."""

    @property
    def url(self) -> str:
        credentials = self._parts.netloc.rpartition("@")[0]
        place = f"127.0.0.1:{self._port}"
        return urlunsplit(self._parts._replace(netloc=f"{credentials}@{place}" if credentials else place))

    async def open(self) -> None:
        """Let connections in (again), at the same port."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def shut(self) -> None:
        """Refuse new connections and cut those that are open."""
        if self._server is not None:
            self._server.close()
        await self.cut()

    async def cut(self) -> None:
        """Cut every open connection, as a reset."""
        lines = list(self._lines)
        for line in lines:
            line.cut()
        await asyncio.gather(*(line.over.wait() for line in lines))

    def freeze(self) -> None:
        """Nothing passes any more over the connections that are open, nor does their end; new ones are fine."""
        for line in self._lines:
            line.flowing.clear()

    def block(self) -> None:
        """Nothing passes any more, over no connection."""
        self._blocked = True
        self.freeze()

    def unblock(self) -> None:
        self._blocked = False
        for line in self._lines:
            line.flowing.set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            there = await asyncio.open_connection(self._parts.hostname, self._parts.port)
        except OSError:
            writer.transport.abort()
            return
        line = _Line((reader, writer), there, self._is_lost)
        if not self._blocked:
            line.flowing.set()
        self._lines.add(line)
        await line.carry()
        self._lines.discard(line)

    async def _is_lost(self, answer: bytes) -> bool:
        if self.delay:
            await asyncio.sleep(self.delay)
        return self.loses(answer)


End = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class _Line:
    def __init__(self, here: End, there: End, is_lost: Callable[[bytes], Awaitable[bool]]) -> None:
        self._here = here
        self._there = there
        self._is_lost = is_lost
        self.flowing = asyncio.Event()
        self.over = asyncio.Event()

    def cut(self) -> None:
        self.flowing.set()
        for _, writer in (self._here, self._there):
            writer.transport.abort()

    async def carry(self) -> None:
        await asyncio.gather(self._pump(self._here[0], self._there[1]), self._pump(self._there[0], self._here[1]))
        self.over.set()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                await self.flowing.wait()
                if source is self._there[0] and await self._is_lost(data):
                    self.cut()
                    return
                sink.write(data)
                await sink.drain()
        await self.flowing.wait()
        sink.close()


@asynccontextmanager
async def proxy_to(url: str) -> AsyncIterator[Proxy]:
    """A proxy to the server at `url`, open from the start."""
    proxy = Proxy(url)
    await proxy.open()
    try:
        yield proxy
    finally:
        proxy.unblock()
        await proxy.shut()
