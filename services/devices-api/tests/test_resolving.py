"""push-sender's call: where many users can be reached, told to our services only."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from devices_api.devices import Registration
from devices_api.registering import register
from devices_api.registry import Registry


async def resolve(internal: httpx.AsyncClient, *users: UUID) -> dict[str, Any]:
    answer = await internal.post("/internal/devices/resolve", json={"userIds": [str(user) for user in users]})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    body: dict[str, Any] = answer.json()
    return body


async def test_each_user_is_told_with_their_tokens_and_one_without_any_with_none(
    internal: httpx.AsyncClient, registry: Registry
) -> None:
    one, other, without, unasked = uuid4(), uuid4(), uuid4(), uuid4()
    await register(Registration("a", "ios"), user_id=one, registry=registry)
    await register(Registration("b", "web"), user_id=one, registry=registry)
    await register(Registration("ᠮ/", "android"), user_id=other, registry=registry)
    await register(Registration("not asked for", "ios"), user_id=unasked, registry=registry)

    answer = await resolve(internal, one, other, without, one)

    assert set(answer) == {"resolvedAt", "devices"}
    assert set(answer["devices"]) == {str(one), str(other), str(without)}
    assert sorted(answer["devices"][str(one)], key=lambda device: device["token"]) == [
        {"token": "a", "platform": "ios", "kind": "token"},
        {"token": "b", "platform": "web", "kind": "token"},
    ]
    assert answer["devices"][str(other)] == [{"token": "ᠮ/", "platform": "android", "kind": "token"}]
    assert answer["devices"][str(without)] == []


async def test_the_moment_is_the_databases_and_lies_between_what_was_seen_before_and_after(
    internal: httpx.AsyncClient, registry: Registry, user: UUID
) -> None:
    before, _ = await register(Registration("t", "ios"), user_id=user, registry=registry)

    answer = await resolve(internal, user)

    resolved_at = datetime.fromisoformat(answer["resolvedAt"])
    after, _ = await register(Registration("t", "ios"), user_id=user, registry=registry)
    assert before.last_seen_at < resolved_at < after.last_seen_at
    assert resolved_at.utcoffset() == timedelta(0)


async def test_nobody_known_is_an_answer_too(internal: httpx.AsyncClient) -> None:
    nobody = uuid4()

    answer = await resolve(internal, nobody)

    assert answer["devices"] == {str(nobody): []}
    assert abs(datetime.fromisoformat(answer["resolvedAt"]) - datetime.now(UTC)) < timedelta(minutes=1)


async def test_a_thousand_users_are_resolved_in_one_call_and_one_more_is_too_many(
    internal: httpx.AsyncClient, pool: "asyncpg.Pool[asyncpg.Record]"
) -> None:
    users = [uuid4() for _ in range(1001)]
    await pool.execute(
        "INSERT INTO fcm_tokens (user_id, token, platform) "
        "SELECT id, 'token of ' || id, 'ios' FROM unnest($1::uuid[]) AS id",
        users,
    )

    answer = await resolve(internal, *users[:1000])
    too_many = await internal.post("/internal/devices/resolve", json={"userIds": [str(user) for user in users]})

    assert {user: devices[0]["token"] for user, devices in answer["devices"].items()} == {
        str(user): f"token of {user}" for user in users[:1000]
    }
    assert too_many.status_code == 422


async def test_1203_tokens_of_one_user_are_all_told(
    internal: httpx.AsyncClient, pool: "asyncpg.Pool[asyncpg.Record]", user: UUID
) -> None:
    await pool.execute(
        "INSERT INTO fcm_tokens (user_id, token, platform) SELECT $1, 't' || n, 'ios' FROM generate_series(1, 1203) n",
        user,
    )

    answer = await resolve(internal, user)

    assert {device["token"] for device in answer["devices"][str(user)]} == {f"t{number}" for number in range(1, 1204)}


@pytest.mark.parametrize(
    "body", [{}, {"userIds": []}, {"userIds": ["me"]}, {"userIds": "all"}, {"user_ids": [str(uuid4())]}, [], None]
)
async def test_a_question_that_is_none_is_422(internal: httpx.AsyncClient, body: Any) -> None:
    assert (await internal.post("/internal/devices/resolve", json=body)).status_code == 422


@pytest.mark.parametrize("authorization", [None, "Bearer", "Bearer wrong", "Bearer between-our-servicesx", "Basic x"])
async def test_whoever_lacks_the_secret_is_told_nothing(
    internal: httpx.AsyncClient, user: UUID, authorization: str | None
) -> None:
    del internal.headers["Authorization"]
    headers = {} if authorization is None else {"Authorization": authorization}

    answer = await internal.post("/internal/devices/resolve", json={"userIds": [str(user)]}, headers=headers)

    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
