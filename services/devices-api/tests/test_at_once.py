"""Many at the same time: a token has one owner whatever happens together, and nobody hears an error."""

import asyncio
import random
from collections import Counter
from datetime import timedelta
from uuid import uuid4

import asyncpg
import httpx
from devices_api.devices import Registration
from devices_api.pruning import bury, forget_user, prune
from devices_api.registering import register, resolve
from devices_api.registry import Registry
from spacehub.testing.waiting import eventually

from .conftest import ClientOf


async def test_two_users_who_register_one_token_at_once_leave_it_with_one_of_them(client_of: ClientOf) -> None:
    one, other = client_of(uuid4()), client_of(uuid4())

    async def put(client: httpx.AsyncClient, token: str) -> int:
        return (await client.post("/v2/devices", json={"token": token, "platform": "ios"})).status_code

    for number in range(20):
        statuses = await asyncio.gather(*(put(client, f"t{number}") for client in (one, other, one, other)))
        assert set(statuses) <= {200, 201}

    owned = [len((await client.get("/v2/devices")).json()) for client in (one, other)]
    assert sum(owned) == 20


async def test_one_user_who_registers_at_once_from_many_places_has_one_device_that_was_new_once(
    client_of: ClientOf,
) -> None:
    client = client_of(uuid4())

    answers = await asyncio.gather(
        *(client.post("/v2/devices", json={"token": "t", "platform": "ios"}) for _ in range(20))
    )

    assert Counter(answer.status_code for answer in answers) == {201: 1, 200: 19}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert len((await client.get("/v2/devices")).json()) == 1


async def test_everything_at_once_ends_without_an_error_and_with_one_owner_a_token(
    registry: Registry, pool: "asyncpg.Pool[asyncpg.Record]"
) -> None:
    dice = random.Random(7)
    users, tokens = [uuid4() for _ in range(4)], [f"t{number}" for number in range(6)]

    async def live() -> None:
        for _ in range(60):
            user, token = dice.choice(users), dice.choice(tokens)
            match dice.randrange(6):
                case 0 | 1 | 2:
                    await register(Registration(token, "web"), user_id=user, registry=registry)
                case 3:
                    await registry.remove(token, user_id=user)
                case 4:
                    at = (await resolve([user], registry=registry)).resolved_at
                    await bury(token, user_id=user, resolved_at=at, registry=registry)
                case _:
                    await prune(timedelta(microseconds=1), registry=registry, page=2)
                    await forget_user(user, registry=registry)

    await asyncio.gather(*(live() for _ in range(8)))

    counts = await pool.fetch("SELECT count(*) AS owners FROM fcm_tokens GROUP BY token")
    assert all(row["owners"] == 1 for row in counts)


async def test_times_follow_the_order_in_which_owners_got_the_token_not_in_which_they_asked(
    registry: Registry, pool: "asyncpg.Pool[asyncpg.Record]"
) -> None:
    first, second = uuid4(), uuid4()
    await register(Registration("t", "ios"), user_id=first, registry=registry)

    async with pool.acquire() as holder, holder.transaction():
        await holder.execute("SELECT 1 FROM fcm_tokens FOR UPDATE")
        waiting = asyncio.create_task(register(Registration("t", "ios"), user_id=second, registry=registry))
        await eventually(lambda: pool.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"))
        resolved_at = (await resolve([first], registry=registry)).resolved_at

    device, _ = await waiting
    assert device.last_seen_at > resolved_at
    assert device.created_at > resolved_at
