"""The public entry, by the real HAProxy: leads to the public paths and nowhere else, whatever is tried.

What it does with tokens is in test_gateway_tokens.py.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import pytest
from spacehub.http_api import LARGEST_BODY
from spacehub.testing.raw_server import Line, raw_server
from spacehub.testing.waiting import eventually

from tests.gateway import Apis, Gateway, a_gateway, a_port, both_apis, problem

PUBLIC = {
    "/v2/devices": "devices",
    "/v2/devices/token": "devices",
    "/v2/devices/a%2Fb%3F%23": "devices",
    "/v2/notifications": "inbox",
    "/v2/notifications?cursor=x&limit=3": "inbox",
    "/v2/notifications/unread-count": "inbox",
    "/v2/notifications/7/read": "inbox",
    "/v2/notification-preferences": "inbox",
    "/v2/ops/deliveries": "inbox",
}

PRIVATE = [
    "/",
    "/metrics",
    "/healthz",
    "/readyz",
    "/internal/devices/resolve",
    "//internal/devices/resolve",
    "/./internal/devices/resolve",
    "/x/../internal/devices/resolve",
    "/v2/../internal/devices/resolve",
    "/v2/%2e%2e/internal/devices/resolve",
    "/v2//devices",
    "//v2/devices",
    "/V2/devices",
    "/v2/Devices",
    "/v2/%64evices",
    "/v2%2Fdevices",
    "/v2/devicesx",
    "/v2/devices;x",
    "/v2/notificationsx",
    "/v2/notification-preferences/x",
    "/v2/ops",
    "/v2",
    "/openapi.json",
    "/docs",
    "*",
    "http://127.0.0.1/metrics",
    "http://127.0.0.1/internal/devices/resolve",
]


@pytest.fixture(scope="module")
async def apis() -> AsyncIterator[Apis]:
    async with both_apis() as apis:
        yield apis


@pytest.fixture(scope="module")
async def gateway(apis: Apis, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    with a_gateway(tmp_path_factory.mktemp("gateway"), apis) as gateway:
        yield await gateway.ready()


@pytest.fixture
async def client(gateway: Gateway) -> AsyncIterator[httpx.AsyncClient]:
    async with gateway.client() as client:
        yield client


@pytest.mark.parametrize(("path", "api"), PUBLIC.items())
async def test_public_paths_reach_their_api_just_as_they_came(client: httpx.AsyncClient, path: str, api: str) -> None:
    answer = await client.get(path)

    assert answer.json()["by"] == api
    assert answer.json()["path"] == path.partition("?")[0]


@pytest.mark.parametrize("path", PRIVATE)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_everything_else_is_404_and_reaches_nobody(gateway: Gateway, apis: Apis, method: str, path: str) -> None:
    before = list(apis.asked)

    answer = await gateway.raw(f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())

    assert answer.split(b" ")[1] in (b"404", b"400")
    assert apis.asked == before


@pytest.mark.parametrize("path", ["/v2/devices/../../metrics", "/v2/notifications/..%2f..%2fmetrics"])
async def test_a_way_up_is_left_to_the_api_as_it_came_where_it_means_nothing(gateway: Gateway, path: str) -> None:
    answer = await gateway.raw(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())

    assert json.loads(answer.partition(b"\r\n\r\n")[2])["path"] == path


@pytest.mark.parametrize("letter", ["x", "/", "ө", "ᠮ", "🐎"])
async def test_a_token_of_4096_characters_passes_in_a_path(client: httpx.AsyncClient, letter: str) -> None:
    path = f"/v2/devices/{quote(letter * 4096, safe='')}"

    answer = await client.delete(path, headers={"Authorization": "Bearer " + "x" * 2000})

    assert answer.json()["path"] == path


async def test_what_is_no_http_or_longer_than_any_request_of_ours_is_refused(gateway: Gateway, apis: Apis) -> None:
    before = list(apis.asked)

    answers = [
        await gateway.raw(b"GET /v2/devices/" + b"x" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n"),
        await gateway.raw(b"GET /v2/devices/\xff HTTP/1.1\r\nHost: x\r\n\r\n"),
        await gateway.raw(b"hello\r\n\r\n"),
        await gateway.raw(
            b"POST /v2/devices HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 7\r\n\r\nhello",
        ),
    ]

    assert [answer.split(b" ")[1] for answer in answers] == [b"400"] * 4
    assert apis.asked == before


@pytest.mark.parametrize("chunked", [False, True], ids=["with a length", "chunked"])
async def test_bodies_end_at_16_kib(client: httpx.AsyncClient, chunked: bool) -> None:
    async def parts(size: int) -> AsyncIterator[bytes]:
        for start in range(0, size, 1000):
            yield b"x" * min(1000, size - start)

    async def send(size: int) -> httpx.Response:
        return await client.post("/v2/devices", content=parts(size) if chunked else b"x" * size)

    assert (await send(LARGEST_BODY)).json()["length"] == LARGEST_BODY
    problem(await send(LARGEST_BODY + 1), 413)


async def test_every_request_has_an_id_the_clients_own_if_it_is_a_sane_one(client: httpx.AsyncClient) -> None:
    plain = await client.get("/v2/devices")
    own = await client.get("/v2/devices", headers={"X-Request-Id": "my-id-0001"})
    odd = await client.get("/v2/devices", headers={"X-Request-Id": 'x" injected'})

    assert plain.headers["x-request-id"] == plain.json()["headers"]["x-request-id"]
    assert own.headers["x-request-id"] == own.json()["headers"]["x-request-id"] == "my-id-0001"
    assert odd.headers["x-request-id"] == odd.json()["headers"]["x-request-id"] != 'x" injected'
    assert len({answer.headers["x-request-id"] for answer in (plain, own, odd)}) == 3


async def test_events_of_a_stream_arrive_one_by_one_while_it_stays_open(client: httpx.AsyncClient, apis: Apis) -> None:
    apis.inbox.go_on.clear()

    async with client.stream("GET", "/v2/notifications/stream") as answer:
        events = answer.aiter_lines()
        first = await asyncio.wait_for(anext(events), 20)
        apis.inbox.go_on.set()
        rest = [line async for line in events]

    assert first == "id: 1"
    assert "id: 2" in rest


async def test_the_log_tells_the_route_and_never_the_path(gateway: Gateway, client: httpx.AsyncClient) -> None:
    await client.delete("/v2/devices/secret-token?secret-query", headers={"X-Request-Id": "to-be-found"})
    await client.get("/secret-elsewhere")

    def logged() -> dict[str, Any]:
        found = [line for line in gateway.lines() if line.get("request_id") == "to-be-found"]
        return found[0] if found else {}

    line = await eventually(logged)
    assert (line["method"], line["route"], line["status"]) == ("DELETE", "devices", 200)
    assert "secret" not in gateway.log.read_text()


async def test_the_pages_for_the_cluster_have_a_port_of_their_own(gateway: Gateway) -> None:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{gateway.health_port}", trust_env=False) as client:
        answers = [await client.get(path) for path in ("/healthz", "/readyz", "/metrics", "/v2/devices")]

    assert [answer.status_code for answer in answers] == [200, 200, 200, 404]
    assert "haproxy_frontend_http_requests_total" in answers[2].text


async def test_an_api_that_is_away_is_503_and_the_other_still_there(tmp_path: Path, apis: Apis) -> None:
    with a_port() as nobody:
        alone = Apis(apis.devices, apis.inbox, devices_port=nobody, inbox_port=apis.inbox_port)
        with a_gateway(tmp_path, alone) as gateway:
            await gateway.ready()
            async with gateway.client(timeout=30) as client:
                away, there = await client.get("/v2/devices"), await client.get("/v2/notifications")

    problem(away, 503)
    assert away.headers["retry-after"]
    assert there.status_code == 200


@contextmanager
def _before(port: int, directory: Path, apis: Apis) -> Iterator[Gateway]:
    """A gateway whose inbox-api is at `port`."""
    with a_gateway(directory, Apis(apis.devices, apis.inbox, apis.devices_port, port)) as gateway:
        yield gateway


class Dropping:
    """An API that takes every other request and hangs up."""

    def __init__(self) -> None:
        self.requests = 0

    async def play(self, line: Line) -> None:
        await line.reader.readuntil(b"\r\n\r\n")
        self.requests += 1
        if self.requests % 2 == 0:
            await line.reply("200 OK")


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/v2/notifications"), ("POST", "/v2/notifications/read-all"), ("GET", "/v2/ops/sms")]
)
async def test_a_request_that_met_a_dying_api_is_made_again(tmp_path: Path, apis: Apis, method: str, path: str) -> None:
    async with raw_server(Dropping().play) as api:
        with _before(urlsplit(api.url).port or 0, tmp_path, apis) as gateway:
            await gateway.ready()
            async with gateway.client() as client:
                statuses = [(await client.request(method, path)).status_code for _ in range(3)]

    assert statuses == [200, 200, 200]


async def test_a_call_of_operations_is_never_made_twice(tmp_path: Path, apis: Apis) -> None:
    dropping = Dropping()

    async with raw_server(dropping.play) as api:
        with _before(urlsplit(api.url).port or 0, tmp_path, apis) as gateway:
            await gateway.ready()
            async with gateway.client() as client:
                answer = await client.post("/v2/ops/redrive")

    problem(answer, 502)
    assert dropping.requests == 1


async def test_a_client_above_its_rate_is_told_to_wait(tmp_path: Path, apis: Apis) -> None:
    with a_gateway(tmp_path, apis, rate_limit="5/1h") as gateway:
        await gateway.ready()
        async with gateway.client() as client:
            answers = [await client.get("/v2/notifications") for _ in range(8)]

    assert [answer.status_code for answer in answers] == [200] * 5 + [429] * 3
    problem(answers[-1], 429)
    assert answers[-1].headers["retry-after"] == "3600"


@pytest.mark.parametrize(("behind", "statuses"), [("yes", ([200] * 3 + [429]) * 2), ("no", [200] * 3 + [429] * 5)])
async def test_only_a_proxy_says_whose_rate_it_is(tmp_path: Path, apis: Apis, behind: str, statuses: list[int]) -> None:
    told = [{"X-Forwarded-For": f"198.51.100.{number}, 203.0.113.{number // 4}"} for number in range(8)]
    with a_gateway(tmp_path, apis, rate_limit="3/1h", GATEWAY_BEHIND_PROXY=behind) as gateway:
        async with (await gateway.ready()).client() as client:
            answers = [await client.get("/v2/notifications", headers=headers) for headers in told]

    assert [answer.status_code for answer in answers] == statuses


async def test_without_a_limit_a_client_may_ask_as_often_as_it_likes(client: httpx.AsyncClient) -> None:
    statuses = {(await client.get("/v2/notifications")).status_code for _ in range(200)}

    assert statuses == {200}


@pytest.mark.parametrize("limit", ["100", "0/10s", "100/10", "ten/1s", "5/1s; x", "-1/1s"])
async def test_a_limit_that_cannot_be_read_is_refused_at_the_start(tmp_path: Path, apis: Apis, limit: str) -> None:
    with a_gateway(tmp_path, apis, rate_limit=limit) as gateway:
        await eventually(lambda: "RATE_LIMIT should be" in gateway.log.read_text())
