"""The stream: every new row once and in order, whoever wrote it, for as long as the client listens."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

import httpx
import pytest
from inbox_api import positions
from inbox_api.event_stream import EventStream
from inbox_api.feeds import Item
from inbox_api.reading_store import PostgresFeeds
from inbox_api.streaming import PORTION, Limits, NoRoom, Streams
from inbox_api.testing import BAT, NOON, SARA, Inbox, bill, event
from spacehub import database
from spacehub.errors import Away
from spacehub.testing.proxy import proxy_to
from spacehub.testing.serving import served
from spacehub.testing.waiting import eventually
from starlette.types import Message

from .conftest import ISSUING, api_of
from .listening import STREAM, listening
from .test_feed import FEED, write

QUICK = {"look": timedelta(milliseconds=20)}


@asynccontextmanager
async def serving(inbox: Inbox, **limits: Any) -> AsyncIterator[tuple[str, Streams]]:
    """The API at a URL, its streams watched as its process would."""
    api, streams = api_of(inbox, **{**QUICK, **limits})
    stopping = asyncio.Event()
    watching = asyncio.create_task(streams.watch(stopping))
    async with served(api) as url:
        yield url, streams
        stopping.set()
        await watching


async def test_row_that_anybody_wrote_is_heard_within_two_seconds(inbox: Inbox) -> None:
    async with serving(inbox, look=Limits().look) as (url, _), listening(url, ISSUING.token(BAT)) as heard:
        await inbox.takes(event(bill("A-1")))

        await eventually(lambda: heard.events, within=2)

        [(_, told)] = heard.events
        async with httpx.AsyncClient(headers={"Authorization": f"Bearer {ISSUING.token(BAT)}"}) as client:
            page = (await client.get(f"{url}{FEED}")).json()
    assert [told] == page["items"]


async def test_stream_begins_now_and_is_the_callers_alone(inbox: Inbox) -> None:
    await write(inbox, BAT, 3)
    async with (
        serving(inbox) as (url, _),
        listening(url, ISSUING.token(BAT)) as bats,
        listening(url, ISSUING.token(SARA)) as saras,
    ):
        await write(inbox, BAT, 2, start=10)
        await write(inbox, SARA, 1, start=20)

        await eventually(lambda: len(bats.events) == 2 and len(saras.events) == 1)

    assert (bats.titles, saras.titles) == (["10", "11"], ["20"])


async def test_what_came_while_cut_off_follows_exactly_with_writers_racing(inbox: Inbox) -> None:
    titles: list[str] = []

    async def write_some(start: int) -> None:
        for number in range(start, start + 60):
            await write(inbox, BAT, 1, start=number)

    async with serving(inbox) as (url, _):
        async with listening(url, ISSUING.token(BAT)) as heard:
            after = await eventually(lambda: heard.last_id)
        writers = asyncio.gather(*(write_some(start) for start in range(0, 300, 60)))
        while len(titles) < 300:
            async with listening(url, ISSUING.token(BAT), after=after) as heard:
                await eventually(partial(heard.has, min(23, 300 - len(titles))))
            titles += heard.titles
            after = heard.last_id
        await writers

    assert titles == [row["title"] for row in await inbox.feed(BAT)]


async def test_client_cut_off_before_its_first_event_misses_nothing(inbox: Inbox) -> None:
    await write(inbox, BAT, 2)
    async with serving(inbox) as (url, _):
        async with listening(url, ISSUING.token(BAT)) as heard:
            await eventually(lambda: heard.last_id)
        await write(inbox, BAT, 1, start=7)

        async with listening(url, ISSUING.token(BAT), after=heard.last_id) as again:
            await eventually(lambda: again.events)

    assert again.titles == ["7"]


async def test_long_absence_is_told_in_order_to_the_end(inbox: Inbox) -> None:
    await write(inbox, BAT, 5 * PORTION + 3)

    async with serving(inbox) as (url, _):
        start = positions.written(0, of=BAT)
        async with listening(url, ISSUING.token(BAT), after=start) as heard:
            await eventually(lambda: len(heard.events) == 5 * PORTION + 3)

    assert heard.titles == [str(number) for number in range(5 * PORTION + 3)]
    assert [positions.read(id, of=BAT) for id, _ in heard.events] == list(range(1, 5 * PORTION + 4))


async def test_position_ahead_of_the_feed_waits_for_the_next_row(inbox: Inbox) -> None:
    await write(inbox, BAT, 1)
    async with (
        serving(inbox) as (url, _),
        listening(url, ISSUING.token(BAT), after=positions.written(1000, of=BAT)) as heard,
    ):
        await write(inbox, BAT, 1, start=5)
        await eventually(lambda: heard.events)

    assert heard.titles == ["5"]


async def test_heartbeats_come_while_nothing_else_does(inbox: Inbox) -> None:
    async with (
        serving(inbox, heartbeat=timedelta(milliseconds=30)) as (url, _),
        listening(url, ISSUING.token(BAT)) as heard,
    ):
        await eventually(lambda: heard.comments >= 3)
        await write(inbox, BAT, 1)
        await eventually(lambda: heard.events)


@pytest.mark.parametrize("after", ["1", "x" * 5000, positions.written(1, of=SARA), "тэмдэг".encode()])
async def test_last_event_id_of_no_stream_of_the_callers_is_400(bat: httpx.AsyncClient, after: str | bytes) -> None:
    answer = await bat.get(STREAM, headers={b"Last-Event-ID": after if isinstance(after, bytes) else after.encode()})

    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")


async def test_streams_of_a_user_and_of_a_process_are_limited_and_given_free_again(inbox: Inbox) -> None:
    async def refusals(url: str, *users: UUID) -> list[tuple[int, str]]:
        async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
            tokens = [ISSUING.token(user) for user in users]
            answers = [await client.get(STREAM, headers={"Authorization": f"Bearer {token}"}) for token in tokens]
        return [(answer.status_code, answer.headers["content-type"]) for answer in answers]

    async with serving(inbox, of_a_user=2, of_the_process=3) as (url, streams):
        async with listening(url, ISSUING.token(BAT)), listening(url, ISSUING.token(BAT)):
            assert await refusals(url, BAT) == [(429, "application/problem+json")]
            async with listening(url, ISSUING.token(SARA)):
                assert await refusals(url, SARA) == [(503, "application/problem+json")]
        await eventually(lambda: streams.count == 0)
        async with listening(url, ISSUING.token(BAT)), listening(url, ISSUING.token(BAT)):
            assert streams.count == 2


async def test_stream_ends_with_its_token(inbox: Inbox) -> None:
    async with (
        serving(inbox) as (url, streams),
        listening(url, ISSUING.token(BAT, exp=int(time.time()) + 2)) as heard,
    ):
        await eventually(lambda: heard.ended)
        await eventually(lambda: streams.count == 0)

    assert heard.events == []


async def test_all_streams_end_when_the_process_does_and_no_new_one_begins(inbox: Inbox) -> None:
    api, streams = api_of(inbox, **QUICK)
    stopping = asyncio.Event()
    watching = asyncio.create_task(streams.watch(stopping))
    async with (
        served(api) as url,
        listening(url, ISSUING.token(BAT)) as bats,
        listening(url, ISSUING.token(SARA)) as her,
    ):
        stopping.set()
        await eventually(lambda: bats.ended and her.ended)
        await watching

        with pytest.raises(NoRoom):
            await streams.open(BAT, after=None, until=time.time() + 60)


async def test_stream_lives_through_an_outage_of_the_database_and_then_tells_what_came(
    own_inbox: Inbox, inbox_url: str
) -> None:
    async with proxy_to(inbox_url) as proxy:
        pool = await database.open_pool(proxy.url, size=2)
        heartbeat = timedelta(milliseconds=50)
        async with (
            serving(Inbox(pool), heartbeat=heartbeat) as (url, _),
            listening(url, ISSUING.token(BAT)) as heard,
        ):
            await proxy.shut()
            before = heard.comments
            await write(own_inbox, BAT, 3)
            await eventually(lambda: heard.comments > before + 1)
            await proxy.open()
            await eventually(lambda: len(heard.events) == 3)
        await pool.close()


class FewFeeds:
    """Feeds in memory that note how often they are asked."""

    def __init__(self, **rows: int) -> None:
        self.asked: list[int] = []
        self.lasts: list[Sequence[UUID]] = []
        self.is_away = False
        self._rows = {UUID(user.replace("_", "-")): count for user, count in rows.items()}

    async def newer(self, user_id: UUID, *, than: int, most: int) -> Sequence[Item]:
        self.asked.append(than)
        last = min(self._rows.get(user_id, 0), than + most)
        return [Item(seq, str(seq), "t", "t", "b", None, NOON, None) for seq in range(than + 1, last + 1)]

    async def last(self, users: Sequence[UUID]) -> dict[UUID, int]:
        if self.is_away:
            raise Away("postgresql: away")
        self.lasts.append(list(users))
        return {user: self._rows.get(user, 0) for user in users}


async def test_one_look_asks_once_for_all_streams(inbox: Inbox) -> None:
    users = [UUID(int=number) for number in range(50)]
    feeds = FewFeeds()
    streams = Streams(feeds, limits=Limits())
    for user in [*users, *users]:
        await streams.open(user, after=None, until=time.time() + 60)
    feeds.lasts.clear()

    await streams.look()

    [asked] = feeds.lasts
    assert sorted(asked) == users


async def test_stream_that_could_not_be_opened_takes_no_room() -> None:
    feeds = FewFeeds()
    streams = Streams(feeds, limits=Limits())
    feeds.is_away = True

    with pytest.raises(Away):
        await streams.open(BAT, after=None, until=time.time() + 60)

    assert streams.count == 0


async def test_no_row_is_read_before_the_client_took_those_before() -> None:
    feeds = FewFeeds(**{str(BAT).replace("-", "_"): 1000})
    streams = Streams(feeds, limits=Limits())
    stream = await streams.open(BAT, after=positions.written(0, of=BAT), until=time.time() + 60)
    portions = stream.portions()

    first = await anext(portions)
    await streams.look()
    await streams.look()

    assert len(first) == PORTION
    assert feeds.asked == [0]
    assert (await anext(portions))[0].seq == PORTION + 1
    stream.close()
    await portions.aclose()


async def test_client_that_takes_nothing_is_left_after_a_while_and_its_room_is_free() -> None:
    finished: list[str] = []
    taken: list[int] = []

    async def chunks() -> AsyncIterator[bytes]:
        for number in range(1000):
            taken.append(number)
            yield b"x" * 1000

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            await asyncio.Event().wait()

    response = EventStream(chunks(), patience=0.05, finished=lambda: finished.append("once"))
    scope = {"type": "http", "asgi": {"spec_version": "2.3"}}
    await asyncio.wait_for(response(scope, _never_leaves, send), 10)

    assert finished == ["once"]
    assert taken == [0]


async def _never_leaves() -> Message:
    await asyncio.Event().wait()
    raise AssertionError


async def test_feeds_in_memory_answer_as_those_in_postgresql(inbox: Inbox) -> None:
    await write(inbox, BAT, 30)
    real, fake = PostgresFeeds(inbox.pool), FewFeeds(**{str(BAT).replace("-", "_"): 30})

    for than, most in ((0, 20), (20, 20), (30, 20), (29, 1), (1000, 5)):
        answers = [await feeds.newer(BAT, than=than, most=most) for feeds in (real, fake)]
        assert [item.seq for item in answers[0]] == [item.seq for item in answers[1]]
    assert (await real.last([BAT, SARA]))[BAT] == (await fake.last([BAT, SARA]))[BAT] == 30
