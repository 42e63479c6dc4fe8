"""`python -m bench.bare_page PORT FILE`: the framework alone, returning the bytes of FILE; served like our APIs."""

import asyncio
import sys
from pathlib import Path

from fastapi import FastAPI, Response
from spacehub import health


def bare(page: bytes) -> FastAPI:
    """One route that does nothing, and the page that says ready."""
    app = health.pages({})

    @app.get("/v2/notifications")
    async def constant() -> Response:
        return Response(page, media_type="application/json")

    return app


async def main(port: int, page: bytes) -> None:
    await health.serving(bare(page), host="127.0.0.1", port=port)(asyncio.Event())


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), Path(sys.argv[2]).read_bytes()))
