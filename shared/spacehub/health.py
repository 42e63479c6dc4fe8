"""The three pages every process has for the cluster: /healthz, /readyz and /metrics."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from spacehub.tracing import spans

Check = Callable[[], Awaitable[bool]]
"""Whether something the process needs answers now."""


def pages(checks: Mapping[str, Check]) -> FastAPI:
    """An application with the three pages; /readyz answers 503 and names what is away."""
    app = FastAPI(openapi_url=None)
    add_pages(app, checks)
    return app


def add_pages(app: FastAPI, checks: Mapping[str, Check]) -> None:
    """Add the three pages to an application that serves others too."""

    @app.get("/healthz", include_in_schema=False)
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz", include_in_schema=False)
    async def readyz(response: Response) -> dict[str, str]:
        names = list(checks)
        answers = await asyncio.gather(*(checks[name]() for name in names))
        if not all(answers):
            response.status_code = 503
        return {name: "ok" if answer else "away" for name, answer in zip(names, answers, strict=True)}

    @app.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        return Response(generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})


def serving(
    app: FastAPI, *, host: str, port: int, longest_head: int | None = None
) -> Callable[[asyncio.Event], Awaitable[None]]:
    """A long task that serves `app` until it is told to stop, and then lets open requests end.

    `longest_head` is the most bytes of request line and headers together, 16 KiB unless told.
    """

    async def serve(stopping: asyncio.Event) -> None:
        spans.attend(app)
        server = _Server(
            uvicorn.Config(
                app,
                host=host,
                port=port,
                log_config=None,
                access_log=False,
                lifespan="off",
                http="h11",  # httptools, taken whenever it is installed, bounds no head
                timeout_graceful_shutdown=15,
                h11_max_incomplete_event_size=longest_head,
            )
        )
        serving = asyncio.create_task(server.serve())
        waiting = asyncio.create_task(stopping.wait())
        try:
            await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            server.should_exit = True
            waiting.cancel()
            await serving

    return serve


class _Server(uvicorn.Server):
    """uvicorn without its own signal handlers: the process decides when it stops."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
