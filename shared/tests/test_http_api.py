"""Every API of ours refuses in the same way: strangers first, then bodies, then what is wrong in them."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Annotated, Any
from urllib.parse import urlsplit
from uuid import UUID

import httpx
import pytest
import structlog
from fastapi import Depends, FastAPI
from pydantic import BaseModel, Field, SecretStr
from spacehub.auth.guard import CurrentCaller, requires
from spacehub.auth.keys import KeyRing, KeysAway
from spacehub.auth.shared_secret import shared_secret
from spacehub.auth.tokens import Caller, Verifier
from spacehub.errors import Away
from spacehub.http_api import LARGEST_BODY, http_api
from spacehub.testing.issuing import AUDIENCE, ISSUER, Issuer
from spacehub.testing.serving import served

USER = UUID("5a7ab3b0-0000-4000-8000-0000000000aa")
ISSUING = Issuer()
SECRET = "what-nobody-may-read"


class Order(BaseModel):
    token: Annotated[str, Field(min_length=3)]
    colour: str = "red"
    amount: UUID | None = None


def api(verify: Any = None) -> FastAPI:
    async def fetch() -> bytes:
        return ISSUING.jwks()

    ring = KeyRing(fetch, algorithms=("RS256",))
    app = http_api("test", authenticate=verify or Verifier(ring, ISSUER, AUDIENCE).caller)

    @app.post("/orders")
    async def order(order: Order, caller: CurrentCaller) -> dict[str, str]:
        return {"by": str(caller.user_id), "token": order.token}

    @app.get("/breaks")
    async def breaks() -> None:
        raise ValueError(f"invalid input: {SECRET}")

    @app.get("/away")
    async def away() -> None:
        raise Away("postgresql: ConnectionRefusedError")

    @app.get("/ops")
    async def ops(caller: Annotated[Caller, Depends(requires("ops"))]) -> dict[str, str]:
        return {"by": str(caller.user_id)}

    return app


@pytest.fixture(scope="module")
async def url() -> AsyncIterator[str]:
    async with served(api()) as url:
        yield url


@pytest.fixture
async def client(url: str) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": f"Bearer {ISSUING.token(USER)}"}
    async with httpx.AsyncClient(base_url=url, headers=headers, trust_env=False) as client:
        yield client


def problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["status"] == status
    assert body["type"] == "about:blank"
    assert body["title"]
    return body


async def test_a_caller_with_a_token_passes(client: httpx.AsyncClient) -> None:
    answer = await client.post("/orders", json={"token": "abc"})

    assert answer.json() == {"by": str(USER), "token": "abc"}


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Basic dXNlcjpwYXNz", "Bearer nonsense", f"Bearer {Issuer().token(USER)}"],
)
async def test_a_stranger_hears_401_whatever_else_is_wrong(
    client: httpx.AsyncClient, authorization: str | None
) -> None:
    del client.headers["Authorization"]
    headers = {} if authorization is None else {"Authorization": authorization}

    for answer in [
        await client.post("/orders", headers=headers, content=b"{"),
        await client.post("/orders", headers=headers, content=b"x" * 100_000),
        await client.get("/nowhere", headers=headers),
    ]:
        problem(answer, 401)
        assert answer.headers["www-authenticate"].startswith("Bearer ")


async def test_two_authorization_headers_are_none(client: httpx.AsyncClient) -> None:
    token = client.headers.pop("Authorization")

    answer = await client.get("/ops", headers=[("Authorization", token), ("Authorization", "Bearer other")])

    problem(answer, 401)


async def test_the_scheme_is_read_in_any_case(client: httpx.AsyncClient) -> None:
    answer = await client.post(
        "/orders", json={"token": "abc"}, headers={"Authorization": f"bEARER {ISSUING.token(USER)}"}
    )

    assert answer.status_code == 200


async def test_a_scope_that_is_missing_is_named(client: httpx.AsyncClient) -> None:
    answer = await client.get("/ops")
    granted = await client.get("/ops", headers={"Authorization": f"Bearer {ISSUING.token(USER, scope='ops')}"})

    problem(answer, 403)
    assert 'error="insufficient_scope", scope="ops"' in answer.headers["www-authenticate"]
    assert granted.json() == {"by": str(USER)}


async def test_wrong_fields_are_named_and_their_values_are_not(client: httpx.AsyncClient) -> None:
    answer = await client.post("/orders", json={"token": "q§", "colour": 7_777_777, "amount": "zebra"})

    errors = problem(answer, 422)["errors"]
    assert [(error["in"], error["field"]) for error in errors] == [
        ("body", "token"),
        ("body", "colour"),
        ("body", "amount"),
    ]
    assert not any(value in answer.text for value in ("q§", "7777777", "zebra", "`z`"))


@pytest.mark.parametrize(
    "body",
    [b"{", b"nonsense", b"\xff\xfe", b"[" * 10_000, b'{"token": 1' + b"0" * 5000 + b"}", b"null", b"[]", b'"text"'],
)
async def test_a_body_that_is_no_order_is_a_problem_of_the_client(client: httpx.AsyncClient, body: bytes) -> None:
    answer = await client.post("/orders", content=body, headers={"Content-Type": "application/json"})

    problem(answer, answer.status_code)
    assert answer.status_code in (400, 422)


async def test_a_missing_body_is_named(client: httpx.AsyncClient) -> None:
    assert problem(await client.post("/orders"), 422)["errors"][0]["in"] == "body"


async def test_a_body_of_another_kind_is_415(client: httpx.AsyncClient) -> None:
    problem(await client.post("/orders", content=b"token=abc"), 415)
    problem(await client.post("/orders", data={"token": "abc"}), 415)


async def test_paths_and_methods_that_are_not_there_are_problems_too(client: httpx.AsyncClient) -> None:
    problem(await client.get("/nowhere"), 404)
    answer = await client.get("/orders")
    problem(answer, 405)
    assert answer.headers["allow"] == "POST"


def order_of(size: int) -> bytes:
    frame = len(json.dumps({"token": ""}))
    return json.dumps({"token": "x" * (size - frame)}).encode()


@pytest.mark.parametrize("chunked", [False, True], ids=["with a length", "chunked"])
async def test_bodies_end_at_the_limit(client: httpx.AsyncClient, chunked: bool) -> None:
    async def parts(body: bytes) -> AsyncIterator[bytes]:
        for start in range(0, len(body), 1000):
            yield body[start : start + 1000]

    async def send(size: int) -> httpx.Response:
        body = order_of(size)
        content: Any = parts(body) if chunked else body
        return await client.post("/orders", content=content, headers={"Content-Type": "application/json"})

    assert (await send(LARGEST_BODY)).status_code == 200
    problem(await send(LARGEST_BODY + 1), 413)
    problem(await send(500_000), 413)


async def test_a_client_that_asks_before_sending_too_much_is_told_no(url: str) -> None:
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    head = (
        f"POST /orders HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ISSUING.token(USER)}\r\n"
        "Content-Length: 999999\r\nExpect: 100-continue\r\n\r\n"
    )

    writer.write(head.encode())
    answer = await asyncio.wait_for(reader.readuntil(b"\r\n"), 10)

    assert b" 413 " in answer
    writer.close()
    await writer.wait_closed()


async def test_what_nobody_foresaw_is_a_500_that_tells_nothing_and_a_log_line_without_values(
    client: httpx.AsyncClient,
) -> None:
    with structlog.testing.capture_logs() as lines:
        answer = await client.get("/breaks")

    problem(answer, 500)
    assert SECRET not in answer.text
    assert [line["event"] for line in lines] == ["request_failed"]
    assert lines[0]["error"] == "ValueError"
    assert lines[0]["route"] == "/breaks"
    assert 'raise ValueError(f"invalid input: {SECRET}")' in lines[0]["stack"]
    assert SECRET not in str(lines)


async def test_something_of_ours_being_away_is_503_and_worth_another_try(client: httpx.AsyncClient) -> None:
    answer = await client.get("/away")

    problem(answer, 503)
    assert answer.headers["retry-after"]


async def test_without_keys_the_answer_is_503_and_not_the_callers_fault() -> None:
    async def keyless(token: str) -> Caller:
        raise KeysAway("jwks: ConnectError")

    transport = httpx.ASGITransport(api(keyless))
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
        answer = await client.get("/ops", headers={"Authorization": "Bearer any"})

    problem(answer, 503)


async def test_a_route_knows_no_caller_where_nobody_was_asked_for_one() -> None:
    transport = httpx.ASGITransport(api(shared_secret(SecretStr("between-us"))))
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
        right = await client.get("/away", headers={"Authorization": "Bearer between-us"})
        wrong = await client.get("/away", headers={"Authorization": "Bearer between ut"})
        user = await client.post("/orders", json={"token": "abc"}, headers={"Authorization": "Bearer between-us"})

    assert (right.status_code, wrong.status_code, user.status_code) == (503, 401, 401)
