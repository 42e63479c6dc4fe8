"""The app's calls: register, list, unregister; each user reaches only their own devices."""

import json
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import asyncpg
import httpx
import pytest
from devices_api.registry import Registry
from devices_api.routes import public_api
from spacehub.auth.tokens import Caller
from spacehub.database import open_pool

from .conftest import ClientOf

Pool = asyncpg.Pool

CURIOUS = {
    "slashes": "a/b//c/",
    "only a slash": "/",
    "a way up": "../../internal/devices/resolve",
    "dots": "..",
    "one dot": ".",
    "question and hash": "what?is=this#and",
    "colon, as FCM's have": "cXyZ0:APA91bF-_",
    "percent, encoded twice": "100%25%2F",
    "plus and space": "a+b c",
    "backslashes": "\\x00\\\\000\\",
    "line ends": "first\nsecond\r\n",
    "quotes": "'; DROP TABLE fcm_tokens; --\"",
    "Cyrillic and beyond": "Бат\u1820 🐎 e\u0301",
    "replacement character": "\ufffd",
    "control characters": "\x01\x1f\x7f\x85",
    "semicolon, brackets": ";v=1{token}[0]",
}


def path_of(token: str) -> str:
    return f"/v2/devices/{quote(token, safe='').replace('.', '%2E')}"  # a plain dot segment never leaves the client


async def register(client: httpx.AsyncClient, token: str, **more: Any) -> httpx.Response:
    return await client.post("/v2/devices", json={"token": token, "platform": "android", **more})


async def ids(client: httpx.AsyncClient) -> list[str]:
    answer = await client.get("/v2/devices")
    assert answer.status_code == 200
    return [device["id"] for device in answer.json()]


async def test_the_first_registration_is_201_and_the_next_are_200_and_seen_later(client: httpx.AsyncClient) -> None:
    first = await register(client, "t", deviceLabel="Бат's phone")
    second = await register(client, "t", deviceLabel="Бат's phone")

    assert (first.status_code, second.status_code) == (201, 200)
    one, two = first.json(), second.json()
    assert set(one) == {"id", "platform", "deviceLabel", "lastSeenAt", "createdAt"}
    assert one["createdAt"] == one["lastSeenAt"]
    assert two == {**one, "lastSeenAt": two["lastSeenAt"]}
    assert two["lastSeenAt"] > one["lastSeenAt"]
    assert (await client.get("/v2/devices")).json() == [two]


@pytest.mark.parametrize("platform", ["ios", "android", "web"])
async def test_every_platform_can_be_registered(client: httpx.AsyncClient, platform: str) -> None:
    answer = await client.post("/v2/devices", json={"token": "t", "platform": platform})

    assert answer.json()["platform"] == platform
    assert answer.json()["deviceLabel"] is None


async def test_a_device_has_the_platform_it_told_last(client: httpx.AsyncClient) -> None:
    told = [
        (await client.post("/v2/devices", json={"token": "t", "platform": platform})).json()["platform"]
        for platform in ("web", "ios")
    ]

    assert told == ["web", "ios"]


async def test_a_label_stays_until_it_is_changed_or_taken_away(client: httpx.AsyncClient) -> None:
    said: list[dict[str, Any]] = [{"deviceLabel": "old"}, {}, {"deviceLabel": "new"}, {"deviceLabel": None}]

    labels = [(await register(client, "t", **more)).json()["deviceLabel"] for more in said]

    assert labels == ["old", "old", "new", None]


async def test_a_token_moves_to_whoever_registers_it_and_nothing_of_the_former_user_is_told(
    client: httpx.AsyncClient, client_of: ClientOf
) -> None:
    other = client_of(uuid4())
    before = (await register(client, "t", deviceLabel="Бат's phone")).json()

    moved = await register(other, "t")

    assert moved.status_code == 201
    assert moved.json()["id"] != before["id"]
    assert moved.json()["deviceLabel"] is None
    assert before["lastSeenAt"] < moved.json()["createdAt"] <= moved.json()["lastSeenAt"]
    assert await ids(client) == []
    assert await ids(other) == [moved.json()["id"]]


async def test_a_user_sees_only_their_own_devices_oldest_first(client: httpx.AsyncClient, client_of: ClientOf) -> None:
    other = client_of(uuid4())
    mine = [(await register(client, f"mine {number}")).json()["id"] for number in range(5)]
    await register(other, "theirs")
    await register(client, "mine 0")

    assert await ids(client) == mine
    assert len(await ids(other)) == 1


async def test_unregistering_is_204_whether_or_not_the_token_was_there(client: httpx.AsyncClient) -> None:
    await register(client, "t")

    answers = [await client.delete("/v2/devices/t") for _ in range(2)]

    assert [(answer.status_code, answer.content) for answer in answers] == [(204, b""), (204, b"")]
    assert await ids(client) == []


async def test_another_users_token_stays_untouched(client: httpx.AsyncClient, client_of: ClientOf) -> None:
    await register(client, "t")

    answer = await client_of(uuid4()).delete("/v2/devices/t")

    assert answer.status_code == 204
    assert len(await ids(client)) == 1


@pytest.mark.parametrize("token", CURIOUS.values(), ids=CURIOUS.keys())
async def test_a_token_of_any_characters_comes_and_goes(
    client: httpx.AsyncClient, pool: "Pool[asyncpg.Record]", token: str
) -> None:
    await register(client, "another")

    assert (await register(client, token)).status_code == 201
    assert (await register(client, token)).status_code == 200
    assert await pool.fetchval("SELECT count(*) FROM fcm_tokens WHERE token = $1", token) == 1
    assert (await client.delete(path_of(token))).status_code == 204
    assert [row["token"] for row in await pool.fetch("SELECT token FROM fcm_tokens")] == ["another"]


@pytest.mark.parametrize("letter", ["x", "/", "ө", "ᠮ"])
async def test_a_token_of_4096_characters_comes_and_goes(client: httpx.AsyncClient, letter: str) -> None:
    token = "".join(f"{letter}{number}" for number in range(2000))[:4095] + letter

    assert (await register(client, token)).status_code == 201
    assert (await register(client, token[:-1] + "?")).status_code == 201
    assert (await client.delete(path_of(token))).status_code == 204
    assert len(await ids(client)) == 1


async def test_a_slash_that_was_not_encoded_belongs_to_the_token_too(client: httpx.AsyncClient) -> None:
    await register(client, "a//b/")

    await client.delete("/v2/devices/a//b/")

    assert await ids(client) == []


async def test_bytes_that_are_no_text_stand_for_no_token(client: httpx.AsyncClient) -> None:
    await register(client, "\ufffd")

    answers = [await client.delete(f"/v2/devices/{path}") for path in ("%ff", "%ED%A0%80", "%00", "%00%ff")]

    assert [answer.status_code for answer in answers] == [204] * 4
    assert len(await ids(client)) == 1


WRONG: dict[str, Any] = {
    "nothing": {},
    "a list": [],
    "null": None,
    "no token": {"platform": "ios"},
    "no platform": {"token": "t"},
    "an empty token": {"token": "", "platform": "ios"},
    "a null token": {"token": None, "platform": "ios"},
    "a token that is a number": {"token": 7, "platform": "ios"},
    "a token that is too long": {"token": "x" * 4097, "platform": "ios"},
    "a token with U+0000": {"token": "a\x00b", "platform": "ios"},
    "a token with half a character": {"token": "\ud83d", "platform": "ios"},
    "another platform": {"token": "t", "platform": "windows"},
    "a platform in capitals": {"token": "t", "platform": "IOS"},
    "a label that is too long": {"token": "t", "platform": "ios", "deviceLabel": "x" * 256},
    "a label with U+0000": {"token": "t", "platform": "ios", "deviceLabel": "\x00"},
    "a label with half a character": {"token": "t", "platform": "ios", "deviceLabel": "\udc00"},
    "a label that is a list": {"token": "t", "platform": "ios", "deviceLabel": ["x"]},
}


@pytest.mark.parametrize("body", WRONG.values(), ids=WRONG.keys())
async def test_a_wrong_registration_is_422_and_changes_nothing(client: httpx.AsyncClient, body: Any) -> None:
    escaped = json.dumps(body)  # halves of characters can only be written as \\u escapes
    answer = await client.post("/v2/devices", content=escaped, headers={"Content-Type": "application/json"})

    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["errors"]
    assert await ids(client) == []


async def test_unknown_keys_are_ignored(client: httpx.AsyncClient) -> None:
    assert (await register(client, "t", appVersion="3.1", device_label="not this")).json()["deviceLabel"] is None


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("DELETE", "/v2/devices/", 404),
        ("DELETE", "/v2/devices", 405),
        ("GET", "/v2/devices/t", 405),
        ("PUT", "/v2/devices", 405),
        ("GET", "/v2/devices//", 405),
        ("GET", "/v2/nothing", 404),
        ("DELETE", "/v2/%64evices/t", 404),
        ("POST", "/internal/devices/resolve", 404),
        ("GET", "/metrics", 404),
        ("GET", "/healthz", 404),
        ("GET", "/openapi.json", 404),
        ("GET", "/docs", 404),
    ],
)
async def test_there_is_nothing_else(client: httpx.AsyncClient, method: str, path: str, status: int) -> None:
    answer = await client.request(method, path)

    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


async def test_without_a_token_nothing_is_told_or_done(client: httpx.AsyncClient) -> None:
    await register(client, "t")
    stranger = client
    del stranger.headers["Authorization"]

    answers = [
        await register(stranger, "t"),
        await stranger.get("/v2/devices"),
        await stranger.delete("/v2/devices/t"),
    ]

    assert [answer.status_code for answer in answers] == [401] * 3


async def test_a_database_that_is_away_is_503() -> None:
    pool = await open_pool("postgresql://nobody@127.0.0.1:1/none")
    transport = httpx.ASGITransport(public_api(authenticate=anybody, registry=Registry(pool)))

    async with httpx.AsyncClient(transport=transport, base_url="http://devices") as client:
        answer = await client.get("/v2/devices", headers={"Authorization": "Bearer any"})

    assert answer.status_code == 503
    assert answer.headers["retry-after"]
    await pool.close()


async def anybody(token: str) -> Caller:
    return Caller(uuid4())
