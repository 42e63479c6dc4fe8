"""Whatever is written, read and deleted in whatever order, feeds and counts are those of a plain list."""

import asyncio
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import httpx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from inbox_api.testing import Inbox, event
from spacehub.events.facts import UserDeleted

from .conftest import Emptied, api_of, client_for
from .test_feed import FEED, pages, write

USERS = [UUID(int=number) for number in (1, 2, 3)]


@dataclass
class Feed:
    """One user's feed as a plain list, oldest first: titles, each with whether it was read."""

    rows: list[list[Any]] = field(default_factory=list)
    is_gone: bool = False

    @property
    def unread(self) -> int:
        return sum(not read for _, read in self.rows)


users = st.sampled_from(range(len(USERS)))
STEPS = st.one_of(
    st.tuples(st.just("write"), users, st.integers(1, 4)),
    st.tuples(st.just("write to all"), users, st.integers(1, 2)),
    st.tuples(st.just("read"), users, st.integers(0, 30)),
    st.tuples(st.just("read somebody else's"), users, st.integers(0, 30)),
    st.tuples(st.just("read all"), users, st.just(0)),
    st.tuples(st.just("page"), users, st.integers(1, 7)),
    st.tuples(st.just("delete"), users, st.just(0)),
)


class Play:
    """The steps on the real inbox and on the lists alike."""

    def __init__(self, inbox: Inbox, clients: dict[UUID, httpx.AsyncClient]) -> None:
        self._inbox = inbox
        self._clients = clients
        self._feeds = {user: Feed() for user in USERS}
        self._ids: dict[str, str] = {}
        self._written = 0

    async def step(self, what: str, who: int, number: int) -> None:
        user = USERS[who]
        feed, client = self._feeds[user], self._clients[user]
        match what:
            case "write":
                await self._write(user, number)
            case "write to all":
                for one in USERS:
                    await self._write(one, number)
            case "read" | "read somebody else's":
                other = USERS[(who + 1) % len(USERS)] if what != "read" else user
                rows = self._feeds[other].rows
                if rows:
                    row = rows[number % len(rows)]
                    answer = await client.post(f"{FEED}/{self._ids[row[0]]}/read")
                    assert answer.status_code == (204 if other == user else 404)
                    row[1] = row[1] or other == user
            case "read all":
                answer = await client.post(f"{FEED}/read-all")
                assert answer.json() == {"updated": feed.unread}
                for row in feed.rows:
                    row[1] = True
            case "page":
                await self.compare(user, limit=number)
            case "delete":
                await self._inbox.takes(event(UserDeleted(user_id=user)))
                feed.rows.clear()
                feed.is_gone = True

    async def compare(self, user: UUID, *, limit: int) -> None:
        feed = self._feeds[user]
        found = await pages(self._clients[user], limit=limit)
        items = [item for page in found for item in page["items"]]
        assert [[item["title"], item["readAt"] is not None] for item in items] == feed.rows[::-1]
        assert {page["unreadCount"] for page in found} == {feed.unread}
        assert (await self._clients[user].get(f"{FEED}/unread-count")).json() == {"unreadCount": feed.unread}

    async def _write(self, user: UUID, count: int) -> None:
        start, self._written = self._written, self._written + count
        await write(self._inbox, user, count, start=start)
        if not self._feeds[user].is_gone:
            self._feeds[user].rows += [[str(title), False] for title in range(start, start + count)]
        for row in await self._inbox.feed(user):
            self._ids[row["title"]] = str(row["id"])


async def test_feeds_and_counts_are_those_of_a_plain_list(emptied: Emptied) -> None:
    loop = asyncio.get_running_loop()

    async def play(steps: list[tuple[str, int, int]]) -> None:
        inbox = await emptied(0)
        clients = {user: client_for(user, api_of(inbox)[0]) for user in USERS}
        game = Play(inbox, clients)
        for what, who, number in steps:
            await game.step(what, who, number)
        for user in USERS:
            await game.compare(user, limit=3)
        for client in clients.values():
            await client.aclose()

    @settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(st.lists(STEPS, max_size=25))
    def check(steps: list[tuple[str, int, int]]) -> None:
        asyncio.run_coroutine_threadsafe(play(steps), loop).result()

    await asyncio.to_thread(check)
