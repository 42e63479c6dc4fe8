"""Retention: what was read or settled long ago goes, what still guards or is still open stays."""

import asyncio
from datetime import datetime, timedelta
from uuid import UUID

import httpx
import pytest
from inbox_api.retention import ages
from inbox_api.testing import BAT, NOON, Inbox, bill, event, otp, payment
from spacehub import database
from spacehub.events import facts
from spacehub.events.envelope import Event

DAY = timedelta(days=1)


def retention(*, read: int = 90, settled: int = 90, at: datetime | None = None) -> Event:
    return event(facts.RetentionDue(read_older_than_days=read, settled_older_than_days=settled), at=at)


async def settle_all(inbox: Inbox) -> None:
    rows = await inbox.rows("SELECT id, event_id FROM deliveries WHERE status = 'pending'")
    told = [
        facts.SmsSent(sms_id=row["id"], source_id=row["event_id"], segments=1, attempts=1, duration_ms=1)
        for row in rows
    ]
    await inbox.is_told(*(event(one, at=inbox.now) for one in told))


async def known(inbox: Inbox, table: str = "deliveries") -> set[str]:
    return {row["event_id"] for row in await inbox.rows(f"SELECT event_id FROM {table}")}


async def test_read_rows_go_when_they_are_old_and_unread_ones_stay(inbox: Inbox, bat: httpx.AsyncClient) -> None:
    await inbox.takes(*(event(bill(str(number))) for number in range(3)))
    [newest, middle, _] = (await bat.get("/v2/notifications")).json()["items"]
    await bat.post(f"/v2/notifications/{newest['id']}/read")
    inbox.waits(60 * DAY)
    await bat.post(f"/v2/notifications/{middle['id']}/read")
    inbox.waits(30 * DAY + timedelta(seconds=1))

    await inbox.prunes(retention(read=90))

    left = (await bat.get("/v2/notifications")).json()
    assert [item["link"] for item in left["items"]] == ["spacehub://bills/1", "spacehub://bills/0"]
    assert left["unreadCount"] == 1


async def test_settled_deliveries_go_with_their_event_and_open_ones_keep_theirs(inbox: Inbox) -> None:
    await inbox.takes(event(otp(), id="settled"), event(facts.UserUpdated(user_id=BAT), id="nothing to deliver"))
    await settle_all(inbox)
    await inbox.takes(event(otp(expires_in=86400), id="open"))
    inbox.waits(91 * DAY)
    await inbox.takes(event(otp(), id="new"))
    await settle_all_but(inbox, "open")

    await inbox.prunes(retention(settled=90))

    assert await known(inbox) == {"open", "new"}
    assert await known(inbox, "events") == {"open", "new"}


async def settle_all_but(inbox: Inbox, event_id: str) -> None:
    [row] = await inbox.rows("SELECT id FROM deliveries WHERE event_id <> $1 AND status = 'pending'", event_id)
    told = facts.SmsSent(sms_id=row["id"], source_id="new", segments=1, attempts=1, duration_ms=1)
    await inbox.is_told(event(told, at=inbox.now))


async def test_event_stays_while_a_newer_delivery_of_it_does(inbox: Inbox) -> None:
    await inbox.takes(event(payment(), id="paid"))
    inbox.waits(60 * DAY)
    await settle_all(inbox)
    inbox.waits(60 * DAY)

    await inbox.prunes(retention(settled=90))

    assert await inbox.rows("SELECT channel, status FROM deliveries") == [{"channel": "sms", "status": "sent"}]
    assert await known(inbox, "events") == {"paid"}


async def test_guard_against_a_second_copy_outlives_the_dead_letters(inbox: Inbox) -> None:
    redriven = event(bill(), id="bill")
    await inbox.takes(redriven)
    await settle_all(inbox)
    inbox.waits(30 * DAY)

    await inbox.prunes(retention(settled=1))
    await inbox.forwards()
    await inbox.takes(redriven)

    assert await inbox.rows("SELECT * FROM deliveries") == []
    assert await inbox.sms() == []


async def test_second_copy_of_the_word_to_prune_finds_nothing_more_however_late(inbox: Inbox) -> None:
    word = retention(settled=30, at=NOON + 31 * DAY)
    await inbox.takes(event(otp(), id="old"))
    await settle_all(inbox)
    inbox.waits(2 * DAY)
    await inbox.takes(event(otp(), id="newer"))
    await settle_all(inbox)
    inbox.waits(29 * DAY + timedelta(seconds=1))

    await inbox.prunes(word)
    inbox.waits(300 * DAY)
    await inbox.prunes(word)

    assert await known(inbox) == {"newer"}


@pytest.mark.parametrize("days", [1, 90, 100_000, 10**12, 2**63])
def test_any_number_of_days_is_an_age(days: int) -> None:
    due = facts.RetentionDue(read_older_than_days=days, settled_older_than_days=days)

    limits = ages(due, at=NOON, now=NOON)

    assert limits.read == limits.settled < NOON
    assert limits.received <= NOON - 31 * DAY


async def test_whole_tables_are_walked_in_small_stretches(inbox: Inbox) -> None:
    for start in range(0, 600, 100):
        await inbox.takes(*(event(bill(f"{start + number}")) for number in range(100)))
    await inbox.rows("UPDATE notifications SET read_at = $1 WHERE seq % 3 = 0", NOON)
    await settle_all(inbox)
    inbox.waits(91 * DAY)

    await inbox.prunes(retention(), pages=2)

    assert await inbox.rows("SELECT count(*), count(read_at) AS read FROM notifications") == [{"count": 400, "read": 0}]
    assert await inbox.rows("SELECT * FROM deliveries") == await inbox.rows("SELECT * FROM events") == []


async def test_pruning_waits_for_nobody_and_leaves_what_is_held(inbox: Inbox) -> None:
    await inbox.takes(event(otp(), id="held"), event(otp(), id="free"))
    await settle_all(inbox)
    inbox.waits(91 * DAY)

    async with database.transaction(inbox.pool) as other:
        await other.execute("SELECT FROM deliveries WHERE event_id = 'held' FOR UPDATE")
        await asyncio.wait_for(inbox.prunes(retention()), 10)

    assert await known(inbox) == await known(inbox, "events") == {"held"}


async def test_pruning_while_others_write_read_and_delete_loses_nothing_new(
    inbox: Inbox, bat: httpx.AsyncClient
) -> None:
    await inbox.takes(*(event(bill(f"old {number}")) for number in range(100)))
    await bat.post("/v2/notifications/read-all")
    await settle_all(inbox)
    inbox.waits(91 * DAY)

    await asyncio.gather(
        inbox.prunes(retention(), pages=1),
        *(inbox.takes(event(bill(f"new {number}"))) for number in range(20)),
        bat.post("/v2/notifications/read-all"),
        inbox.takes(event(facts.UserDeleted(user_id=UUID(int=1)))),
    )

    [feed] = await inbox.rows("SELECT last_seq, unread FROM feeds")
    [rows] = await inbox.rows("SELECT count(*), count(*) FILTER (WHERE read_at IS NULL) AS unread FROM notifications")
    assert feed == {"last_seq": 120, "unread": rows["unread"]}
    assert rows["count"] == 20
    assert len(await inbox.rows("SELECT FROM deliveries WHERE created_at = $1", inbox.now)) == 40
