"""What was read: noted once, counted right whatever happens at once, and never in somebody else's feed."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from uuid import UUID, uuid4

import httpx
import pytest
from inbox_api.testing import BAT, NOON, SARA, Inbox, event
from spacehub import database
from spacehub.events.facts import UserDeleted
from spacehub.testing.waiting import eventually

from .conftest import ClientOf
from .test_feed import FEED, write


async def ids(client: httpx.AsyncClient) -> list[str]:
    page = (await client.get(FEED, params={"limit": 100})).json()
    return [item["id"] for item in page["items"]]


async def unread(client: httpx.AsyncClient) -> int:
    count: int = (await client.get(f"{FEED}/unread-count")).json()["unreadCount"]
    return count


async def test_row_is_read_once_and_keeps_its_time(inbox: Inbox, bat: httpx.AsyncClient) -> None:
    await write(inbox, BAT, 3)
    newest = (await ids(bat))[0]

    first = await bat.post(f"{FEED}/{newest}/read")
    inbox.waits(timedelta(hours=1))
    second = await bat.post(f"{FEED}/{newest}/read")

    page = (await bat.get(FEED)).json()
    assert (first.status_code, first.content, second.status_code) == (204, b"", 204)
    assert [item["readAt"] for item in page["items"]] == ["2026-11-23T04:00:00Z", None, None]
    assert page["unreadCount"] == await unread(bat) == 2


async def test_read_all_reads_what_is_unread_and_says_how_much_that_was(inbox: Inbox, client_of: ClientOf) -> None:
    bat, sara = client_of(BAT), client_of(SARA)
    await write(inbox, BAT, 5)
    await write(inbox, SARA, 4)
    await bat.post(f"{FEED}/{(await ids(bat))[2]}/read")
    inbox.waits(timedelta(hours=1))

    answers = [(await bat.post(f"{FEED}/read-all")).json() for _ in range(2)]

    assert answers == [{"updated": 4}, {"updated": 0}]
    rows = await inbox.rows("SELECT read_at FROM notifications WHERE user_id = $1 ORDER BY seq", BAT)
    assert [row["read_at"] for row in rows] == [NOON + timedelta(hours=hour) for hour in (1, 1, 0, 1, 1)]
    assert (await unread(bat), await unread(sara)) == (0, 4)


async def test_another_users_row_is_404_and_stays_unread(inbox: Inbox, client_of: ClientOf) -> None:
    bat, sara = client_of(BAT), client_of(SARA)
    await write(inbox, BAT, 1)
    [theirs] = await ids(bat)

    answer = await sara.post(f"{FEED}/{theirs}/read")

    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert await unread(bat) == 1


@pytest.mark.parametrize("id", [str(uuid4()), "1", "read-all", "%00", "ᠮ", "a" * 5000, "'"])
async def test_row_that_is_not_there_is_404(bat: httpx.AsyncClient, id: str) -> None:
    answer = await bat.post(f"{FEED}/{id}/read")

    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


async def test_200_reads_and_two_read_alls_at_once_leave_the_count_right(inbox: Inbox, bat: httpx.AsyncClient) -> None:
    await write(inbox, BAT, 100)
    wanted = await ids(bat)
    reads = [bat.post(f"{FEED}/{number}/read") for number in [*wanted, *reversed(wanted)]]
    reads[150:150] = [bat.post(f"{FEED}/read-all") for _ in range(2)]

    answers = await asyncio.gather(*reads, write(inbox, BAT, 50), write(inbox, BAT, 50))

    statuses = [answer.status_code for answer in answers if answer is not None]
    [left] = await inbox.rows("SELECT count(*) FROM notifications WHERE read_at IS NULL")
    [feed] = await inbox.rows("SELECT unread, last_seq FROM feeds")
    assert statuses.count(204) == 200
    assert statuses.count(200) == 2
    assert feed == {"unread": left["count"], "last_seq": 200}
    assert await unread(bat) == left["count"] <= 100


async def test_reads_read_alls_writes_and_the_end_of_a_user_never_block_each_other(
    inbox: Inbox, client_of: ClientOf
) -> None:
    users = [UUID(int=number) for number in range(4)]
    clients = {user: client_of(user) for user in users}
    for user in users:
        await write(inbox, user, 20)
    rows = {user: await ids(client) for user, client in clients.items()}

    answers = await asyncio.gather(
        *(clients[user].post(f"{FEED}/{number}/read") for user in users for number in rows[user]),
        *(clients[user].post(f"{FEED}/read-all") for user in users),
        *(write(inbox, user, 5) for user in users),
        inbox.takes(event(UserDeleted(user_id=users[0])), event(UserDeleted(user_id=users[1]))),
    )

    assert {answer.status_code for answer in answers if answer is not None} <= {200, 204, 404}
    counted = await inbox.rows("SELECT user_id, unread FROM feeds ORDER BY 1")
    left = await inbox.rows(
        "SELECT user_id, (count(*) FILTER (WHERE read_at IS NULL))::integer AS unread FROM notifications GROUP BY 1"
        " ORDER BY 1"
    )
    assert counted == left
    assert {row["user_id"] for row in counted} == set(users[2:])


@pytest.mark.parametrize("what", ["read", "read-all", "delete"])
async def test_feed_is_locked_before_any_of_its_rows(inbox: Inbox, bat: httpx.AsyncClient, what: str) -> None:
    await write(inbox, BAT, 5)
    [first, *_] = await ids(bat)
    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "read": lambda: bat.post(f"{FEED}/{first}/read"),
        "read-all": lambda: bat.post(f"{FEED}/read-all"),
        "delete": lambda: inbox.takes(event(UserDeleted(user_id=BAT))),
    }

    async with database.transaction(inbox.pool) as writer:
        await writer.execute("SELECT FROM feeds FOR UPDATE")
        calling = asyncio.ensure_future(calls[what]())
        await eventually(lambda: inbox.rows("SELECT FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'"))
        free = await writer.fetch("SELECT FROM notifications FOR UPDATE SKIP LOCKED")
    await calling

    assert len(free) == 5
