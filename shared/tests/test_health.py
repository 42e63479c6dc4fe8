"""The pages a cluster asks for tell what is away, by name, and end with their process."""

import asyncio
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

import httpx
import pytest
from prometheus_client import Counter
from spacehub import health
from spacehub.testing.serving import served
from spacehub.testing.waiting import eventually

_ASKED = Counter("test_health_pages", "Counts in a test")


def check(answer: bool) -> Callable[[], Awaitable[bool]]:
    async def answers() -> bool:
        return answer

    return answers


@pytest.mark.parametrize(
    ("answers", "status"),
    [({}, 200), ({"database": True, "broker": True}, 200), ({"database": False, "broker": True}, 503)],
)
async def test_readiness_names_what_is_away(answers: dict[str, bool], status: int) -> None:
    app = health.pages({name: check(answer) for name, answer in answers.items()})

    async with served(app) as url, httpx.AsyncClient() as client:
        ready = await client.get(f"{url}/readyz")
        alive = await client.get(f"{url}/healthz")

    assert (ready.status_code, ready.json()) == (
        status,
        {name: "ok" if answer else "away" for name, answer in answers.items()},
    )
    assert (alive.status_code, alive.json()) == (200, {"status": "ok"})


async def test_metrics_are_prometheus_text() -> None:
    _ASKED.inc(3)

    async with served(health.pages({})) as url, httpx.AsyncClient() as client:
        metrics = await client.get(f"{url}/metrics")

    assert metrics.status_code == 200
    assert metrics.headers["content-type"].startswith("text/plain")
    assert "test_health_pages_total 3.0" in metrics.text


@pytest.mark.parametrize(
    ("longest", "size", "status"), [(None, 12, 200), (None, 20, 400), (64, 48, 200), (64, 72, 400)]
)
async def test_a_head_ends_at_the_limit(longest: int | None, size: int, status: int) -> None:
    kib = 1024
    async with served(health.pages({}), longest_head=longest and longest * kib) as url, httpx.AsyncClient() as other:
        parts = urlsplit(url)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * (size * kib))
        await writer.drain()
        await other.get(f"{url}/healthz")  # answered after what came before was read
        if status == 200:
            writer.write(b"\r\nConnection: close\r\n\r\n")
        answer = await asyncio.wait_for(reader.readline(), 20)
        writer.close()

    assert answer.split()[1] == str(status).encode()


async def test_open_request_is_answered_before_the_pages_end() -> None:
    app, begun, go_on = health.pages({}), asyncio.Event(), asyncio.Event()

    @app.get("/slow")
    async def slow() -> str:
        begun.set()
        await go_on.wait()
        return "done"

    async def closed(url: str) -> bool:
        try:
            async with httpx.AsyncClient() as newcomer:
                await newcomer.get(f"{url}/healthz")
        except httpx.ConnectError:
            return True
        return False

    async def answer_once_closed(url: str) -> None:
        await eventually(lambda: closed(url))
        go_on.set()

    async with httpx.AsyncClient(timeout=30) as client:
        async with served(app) as url:
            asking = asyncio.ensure_future(client.get(f"{url}/slow"))
            await begun.wait()
            answering = asyncio.ensure_future(answer_once_closed(url))
        answer = await asking
        await answering

    assert (answer.status_code, answer.json()) == (200, "done")
