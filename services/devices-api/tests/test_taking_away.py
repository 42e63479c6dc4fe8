"""What takes devices away unasked, as events: deaths, deletions, age. Never one that has come back meanwhile."""

from datetime import timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest
from devices_api.consumers import device_events
from devices_api.devices import Registration
from devices_api.pruning import prune
from devices_api.registering import register, resolve
from devices_api.registry import Registry
from spacehub.errors import PermanentFailure
from spacehub.events.envelope import Event
from spacehub.events.facts import BillCancelled, DeviceDied, DevicesPruneDue, Fact, UserDeleted

Pool = asyncpg.Pool


async def hear(registry: Registry, *facts: Fact) -> None:
    events = [Event(id=str(uuid4()), source="/test", data=fact) for fact in facts]
    await device_events(registry=registry).handle(events)


async def put(registry: Registry, token: str, user: UUID) -> None:
    await register(Registration(token, "android"), user_id=user, registry=registry)


async def death_of(registry: Registry, token: str, user: UUID) -> DeviceDied:
    """The token is looked up now, and the push that follows finds it dead."""
    resolved = await resolve([user], registry=registry)
    return DeviceDied(token=token, user_id=user, reason="UNREGISTERED", resolved_at=resolved.resolved_at)


async def tokens(pool: "Pool[asyncpg.Record]") -> list[str]:
    return [row["token"] for row in await pool.fetch("SELECT token FROM fcm_tokens ORDER BY token")]


async def test_a_dead_token_is_gone_and_the_others_stay(
    registry: Registry, pool: "Pool[asyncpg.Record]", user: UUID
) -> None:
    await put(registry, "dead", user)
    await put(registry, "alive", user)

    death = await death_of(registry, "dead", user)
    await hear(registry, death, death)

    assert await tokens(pool) == ["alive"]


async def test_a_token_registered_again_after_it_was_looked_up_stays(
    registry: Registry, pool: "Pool[asyncpg.Record]", user: UUID
) -> None:
    await put(registry, "t", user)
    death = await death_of(registry, "t", user)

    await put(registry, "t", user)
    await hear(registry, death)

    assert await tokens(pool) == ["t"]


async def test_a_token_seen_at_the_very_moment_of_the_look_up_goes(
    registry: Registry, pool: "Pool[asyncpg.Record]", user: UUID
) -> None:
    await put(registry, "t", user)
    seen_at = await pool.fetchval("SELECT last_seen_at FROM fcm_tokens")
    just_before = seen_at - timedelta(microseconds=1)

    await hear(registry, DeviceDied(token="t", user_id=user, reason="UNREGISTERED", resolved_at=just_before))
    assert await tokens(pool) == ["t"]
    await hear(registry, DeviceDied(token="t", user_id=user, reason="UNREGISTERED", resolved_at=seen_at))
    assert await tokens(pool) == []


async def test_a_death_under_the_former_user_leaves_the_new_one_alone(
    registry: Registry, pool: "Pool[asyncpg.Record]", user: UUID
) -> None:
    await put(registry, "t", user)
    await put(registry, "t", uuid4())

    await hear(registry, await death_of(registry, "t", user))

    assert await tokens(pool) == ["t"]


async def test_a_deleted_user_has_no_devices_and_the_others_keep_theirs(
    registry: Registry, pool: "Pool[asyncpg.Record]", user: UUID
) -> None:
    for number in range(3):
        await put(registry, f"gone {number}", user)
    await put(registry, "kept", uuid4())

    await hear(registry, UserDeleted(user_id=user), UserDeleted(user_id=user), UserDeleted(user_id=uuid4()))

    assert await tokens(pool) == ["kept"]


async def aged(pool: "Pool[asyncpg.Record]", token: str, days: float) -> None:
    await pool.execute(
        "UPDATE fcm_tokens SET last_seen_at = now() - $2::interval WHERE token = $1", token, timedelta(days=days)
    )


async def test_devices_not_seen_for_60_days_are_pruned(registry: Registry, pool: "Pool[asyncpg.Record]") -> None:
    for token, days in (("61", 61), ("60 and a bit", 60.001), ("59.9", 59.9), ("today", 0)):
        await put(registry, token, uuid4())
        await aged(pool, token, days)

    await hear(registry, DevicesPruneDue(older_than_days=60))

    assert await tokens(pool) == ["59.9", "today"]


@pytest.mark.parametrize("days", [36_500, 10**6, 2**31, 10**18])
async def test_an_age_beyond_every_calendar_prunes_nothing(
    registry: Registry, pool: "Pool[asyncpg.Record]", days: int
) -> None:
    await put(registry, "t", uuid4())

    await hear(registry, DevicesPruneDue(older_than_days=days))

    assert await tokens(pool) == ["t"]


class CountingRegistry(Registry):
    """Notes how much each page of a pruning removed, and lets a device be seen between two pages."""

    def __init__(self, pool: "Pool[asyncpg.Record]") -> None:
        super().__init__(pool)
        self.pages: list[int] = []

    async def prune_page(self, *, after: UUID | None, unseen_for: timedelta, size: int) -> tuple[UUID | None, int]:
        last, removed = await super().prune_page(after=after, unseen_for=unseen_for, size=size)
        self.pages.append(removed)
        return last, removed


@pytest.mark.parametrize(("count", "page"), [(0, 10), (1, 10), (9, 10), (10, 10), (11, 10), (105, 10)])
async def test_a_pruning_takes_bounded_pages_and_misses_nothing(
    pool: "Pool[asyncpg.Record]", count: int, page: int
) -> None:
    await pool.execute(
        "INSERT INTO fcm_tokens (user_id, token, platform, last_seen_at) SELECT gen_random_uuid(), 't' || n, 'ios', "
        "now() - CASE n % 5 WHEN 0 THEN interval '1 day' ELSE interval '90 days' END FROM generate_series(1, $1) n",
        count,
    )
    registry = CountingRegistry(pool)

    removed = await prune(timedelta(days=60), registry=registry, page=page)

    assert removed == sum(registry.pages) == count - count // 5
    assert max(registry.pages) <= page
    assert len(registry.pages) == count // page + 1
    assert await pool.fetchval("SELECT count(*) FROM fcm_tokens") == count // 5


async def test_an_event_that_is_not_for_us_is_a_dead_letter(registry: Registry) -> None:
    with pytest.raises(PermanentFailure, match="not_for_us"):
        await hear(registry, BillCancelled(bill_id="b"))
