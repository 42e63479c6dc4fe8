"""A real gateway before two APIs that say what they were asked, for the tests of the public entry."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
from fastapi import FastAPI
from spacehub.health import add_pages
from spacehub.http_api import LONGEST_HEAD
from spacehub.testing.serving import served
from spacehub.testing.waiting import eventually
from spacehub_dev.provisioning.haproxy import GatewaySettings, GatewayTokens, find_gateway
from spacehub_dev.provisioning.ports import release_port, reserve_port
from spacehub_dev.provisioning.program import Program
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse


class Backend:
    """An API that says what it was asked and remembers it; its streams go on when they are told to."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.asked: list[str] = []
        self.go_on = asyncio.Event()
        self.app = FastAPI(openapi_url=None)
        add_pages(self.app, {})
        self.app.add_route("/v2/notifications/stream", self._stream)
        self.app.add_route("/{path:path}", self._echo, methods=["GET", "POST", "PUT", "DELETE"])

    async def _echo(self, request: Request) -> Response:
        raw = request.scope["raw_path"].decode()
        self.asked.append(raw)
        body = await request.body()
        headers = dict(request.headers)
        return JSONResponse({"by": self.name, "path": raw, "length": len(body), "headers": headers})

    async def _stream(self, _: Request) -> Response:
        async def events() -> AsyncIterator[bytes]:
            yield b"id: 1\nevent: notification\ndata: {}\n\n"
            await self.go_on.wait()
            yield b"id: 2\nevent: notification\ndata: {}\n\n"

        return StreamingResponse(events(), media_type="text/event-stream")


@dataclass(frozen=True)
class Apis:
    """What the gateway leads to, and where."""

    devices: Backend
    inbox: Backend
    devices_port: int
    inbox_port: int

    @property
    def asked(self) -> list[str]:
        return self.devices.asked + self.inbox.asked


@dataclass(frozen=True)
class Gateway:
    """A gateway that runs, and what it logs."""

    port: int
    health_port: int
    log: Path
    program: Program

    def client(self, **more: Any) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.port}", trust_env=False, **more)

    def family(self) -> list[psutil.Process]:
        """What runs the gateway, with everything it started."""
        first = psutil.Process(self.program.pid)
        return [first, *first.children(recursive=True)]

    def crash(self) -> None:
        """SIGKILL for it alone."""
        psutil.Process(self.program.pid).kill()

    @staticmethod
    def runs(process: psutil.Process) -> bool:
        """Whether it is there and does anything; an orphan that nobody buries does not."""
        try:
            return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    def lines(self) -> list[dict[str, Any]]:
        """What it logged, without what HAProxy says of itself."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]

    async def raw(self, request: bytes) -> bytes:
        """The whole answer to exactly these bytes, or all answers."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(request)
        answer = await asyncio.wait_for(reader.read(), 20)
        writer.close()
        return answer

    async def ready(self) -> "Gateway":
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.health_port}", trust_env=False) as client:

            async def answers() -> bool:
                try:
                    return (await client.get("/readyz")).status_code == 200
                except httpx.TransportError:
                    return False

            await eventually(answers, within=60)
        return self


@contextmanager
def a_port() -> Iterator[int]:
    """A port that nobody else takes."""
    port = reserve_port()
    yield port
    release_port(port)


@contextmanager
def a_gateway(
    directory: Path, apis: Apis, *, rate_limit: str = "off", tokens: GatewayTokens | None = None, **told: str
) -> Iterator[Gateway]:
    """A gateway before `apis` while the block runs; `ready` waits until it answers."""
    with a_port() as port, a_port() as health_port:
        settings = GatewaySettings(port, health_port, apis.devices_port, apis.inbox_port, rate_limit, tokens)
        command = find_gateway(directory, report=print)
        log = directory / "gateway.log"
        environment = {"PATH": os.environ["PATH"], **settings.environment, **told}
        program = Program("gateway", command, directory, log, environment)
        program.start()
        try:
            yield Gateway(port, health_port, log, program)
        finally:
            program.stop()


@asynccontextmanager
async def both_apis() -> AsyncIterator[Apis]:
    """Both APIs, served while the block runs."""
    devices, inbox = Backend("devices"), Backend("inbox")
    with ExitStack() as stack:
        ports = [stack.enter_context(a_port()) for _ in range(2)]
        async with (
            served(devices.app, port=ports[0], longest_head=LONGEST_HEAD),
            served(inbox.app, port=ports[1]),
        ):
            yield Apis(devices, inbox, *ports)


def problem(answer: httpx.Response, status: int) -> None:
    """Whether `answer` is a problem document of the gateway's, with the request's id."""
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status
    assert answer.headers["x-request-id"]
