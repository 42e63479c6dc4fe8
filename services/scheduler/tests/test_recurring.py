"""A cron slot fires once over any number of schedulers; of missed ones the latest, late; none from before the start."""

import asyncio
from datetime import date, datetime, timedelta

import asyncpg
import pytest
from scheduler import slots
from scheduler.firing import Recurring, fire
from scheduler.forgetting import forget_old_facts
from scheduler.testing import Stage, issued
from scheduler.timetable import Timetable
from spacehub.events.facts import DevicesPruneDue, RetentionDue

PRUNE = Recurring(DevicesPruneDue(older_than_days=60), slots.parse("0 4 * * 1"))
RETENTION = Recurring(RetentionDue(read_older_than_days=90, settled_older_than_days=180), slots.parse("30 3 * * *"))
SECOND = timedelta(seconds=1)


def at(text: str) -> datetime:
    """A moment in Ulaanbaatar. 23 November 2026 is a Monday."""
    return datetime.fromisoformat(f"{text}+08:00")


@pytest.fixture
async def started(stage: Stage) -> Stage:
    """A scheduler that first started on Sunday, 22 November 2026, at noon."""
    stage.recurring = [PRUNE, RETENTION]
    await stage.fire(at("2026-11-22T12:00:00"))
    return stage


async def test_first_start_fires_no_old_slot_and_sleeps_until_the_next(stage: Stage) -> None:
    stage.recurring = [PRUNE, RETENTION]

    first = await stage.fire(at("2026-11-22T12:00:00"))

    assert await stage.outbox() == []
    assert first.next_at == at("2026-11-23T03:30:00")


async def test_slots_fire_to_the_second_with_what_they_ask_for(started: Stage) -> None:
    await started.fire(at("2026-11-23T03:29:59"))
    assert await started.outbox() == []

    await started.fire(at("2026-11-23T03:30:00"))
    assert [event.data for event in await started.publish()] == [RETENTION.fact]
    await started.fire(at("2026-11-23T03:59:59"))
    assert await started.outbox() == []

    await started.fire(at("2026-11-23T04:00:00"))
    assert [event.data for event in await started.publish()] == [PRUNE.fact]
    await started.fire(at("2026-11-23T04:00:01"))
    assert await started.outbox() == []


async def test_of_the_slots_missed_while_down_only_the_latest_fires(started: Stage) -> None:
    back = await started.fire(at("2026-12-24T12:00:00"))

    assert back.counts == {"devices.prune_due": 1, "retention.due": 1}
    assert (await started.fire()).counts.total() == 0
    assert back.next_at == at("2026-12-25T03:30:00")


async def test_each_slot_has_an_event_id_of_its_own(started: Stage) -> None:
    for day in range(23, 30):
        await started.fire(at(f"2026-11-{day}T12:00:00"))

    events = await started.outbox()

    assert len(events) == len({event.id for event in events}) == 8


async def test_many_schedulers_at_once_never_fire_one_slot_twice(
    started: Stage, pool: "asyncpg.Pool[asyncpg.Record]"
) -> None:
    for day in range(23, 30):
        started.clock.moment = at(f"2026-11-{day}T04:00:00")

        rounds = [
            fire(timetable=Timetable(pool), clock=started.clock, recurring=started.recurring, rate=50) for _ in range(8)
        ]
        await asyncio.gather(*rounds)

    types = [event.data.type for event in await started.outbox()]
    assert types.count("retention.due") == 7
    assert types.count("devices.prune_due") == 1


async def test_ids_of_facts_are_forgotten_once_no_copy_can_come_and_not_before(
    started: Stage, pool: "asyncpg.Pool[asyncpg.Record]"
) -> None:
    await started.learn(issued("old", date(2026, 12, 30)), at=at("2026-11-22T12:00:00"))
    await started.learn(issued("young", date(2026, 12, 30)), at=at("2026-11-22T12:00:01"))
    started.clock.moment = at("2026-12-22T12:00:01")

    forgotten = await forget_old_facts(timetable=Timetable(pool), clock=started.clock, kept=timedelta(days=30))

    assert forgotten == 1
