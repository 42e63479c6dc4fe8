"""What the app shows: each feed, the live stream of who has it open, and the unread count as it falls."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from spacehub_dev.demo.people import Person, authorization
from spacehub_dev.demo.watching import Seen

FEED = "/v2/notifications"


class App:
    """The app of one person, signed in, talking to the public entry."""

    def __init__(self, person: Person, client: httpx.AsyncClient) -> None:
        self.person = person
        self.live: list[Seen] = []
        self._client = client

    async def feed(self) -> list[Seen]:
        """Every row, page by page."""
        rows: list[Seen] = []
        cursor = ""
        while True:
            page = await self._get(FEED, cursor=cursor, limit=5)
            rows += [
                Seen("inbox", self.person.user_id, item["body"], datetime.fromisoformat(item["createdAt"]))
                for item in page["items"]
            ]
            cursor = page["nextCursor"]
            if not cursor:
                return rows

    async def read_everything(self) -> list[int]:
        """The unread count before, after reading the newest row, and after reading all."""
        counts = [await self._unread()]
        newest = (await self._get(FEED, limit=1))["items"][0]["id"]
        for call in (f"{FEED}/{newest}/read", f"{FEED}/read-all"):
            (await self._client.post(call)).raise_for_status()
            counts.append(await self._unread())
        return counts

    async def watch(self, open_: asyncio.Event) -> None:
        """Note what arrives on the stream, until cancelled; `open_` is set once it is open."""
        async with self._client.stream("GET", f"{FEED}/stream", timeout=None) as answer:
            answer.raise_for_status()
            open_.set()
            kind = ""
            async for line in answer.aiter_lines():
                name, _, value = line.partition(": ")
                if name == "event":
                    kind = value
                elif name == "data" and kind == "notification":
                    body = json.loads(value)["body"]
                    self.live.append(Seen("stream", self.person.user_id, body, datetime.now(UTC)))

    async def _unread(self) -> int:
        return int((await self._get(f"{FEED}/unread-count"))["unreadCount"])

    async def _get(self, path: str, **query: Any) -> dict[str, Any]:
        answer = await self._client.get(path, params=query)
        return dict(answer.raise_for_status().json())


@asynccontextmanager
async def apps(cast: Sequence[Person], endpoints: Mapping[str, Any], directory: Path) -> AsyncIterator[list[App]]:
    """The app of each; the streams of those who watch are open when the block begins."""
    clients = [
        httpx.AsyncClient(
            base_url=endpoints["api_url"], headers=authorization(person, directory), timeout=20, trust_env=False
        )
        for person in cast
    ]
    signed_in = [App(person, client) for person, client in zip(cast, clients, strict=True)]
    opened = [asyncio.Event() for app in signed_in if app.person.watches]
    watchers = [app for app in signed_in if app.person.watches]
    streams = [asyncio.create_task(app.watch(event)) for app, event in zip(watchers, opened, strict=True)]
    try:
        async with asyncio.timeout(20):
            for event in opened:
                await event.wait()
        yield signed_in
    finally:
        for stream in streams:
            stream.cancel()
        await asyncio.gather(*streams, return_exceptions=True)
        for client in clients:
            await client.aclose()
