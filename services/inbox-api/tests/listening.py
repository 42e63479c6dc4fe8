"""A client of the stream as a test needs it: it notes what comes, and can be cut off at any time."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

STREAM = "/v2/notifications/stream"


@dataclass
class Heard:
    """What one connection brought: each event as (id, data), the last id, and how many comments."""

    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    last_id: str | None = None
    comments: int = 0
    ended: bool = False

    @property
    def titles(self) -> list[str]:
        return [data["title"] for _, data in self.events]

    def has(self, count: int) -> bool:
        """Whether so many events came, or more."""
        return len(self.events) >= count

    def take(self, block: list[str]) -> None:
        """One block of lines, up to an empty one."""
        fields = dict(line.split(": ", 1) for line in block if not line.startswith(":"))
        self.comments += sum(line.startswith(":") for line in block)
        self.last_id = fields.get("id", self.last_id)
        if "data" in fields:
            assert fields["event"] == "notification"
            self.events.append((fields["id"], json.loads(fields["data"])))


@asynccontextmanager
async def listening(url: str, token: str, *, after: str | None = None) -> AsyncIterator[Heard]:
    """Listen while the block runs, from its first line on; then hang up without a word."""
    headers = {"Authorization": f"Bearer {token}", **({"Last-Event-ID": after} if after else {})}
    heard = Heard()

    async def note(response: httpx.Response) -> None:
        block: list[str] = []
        async for line in response.aiter_lines():
            if line:
                block.append(line)
            else:
                heard.take(block)
                block = []
        heard.ended = True

    async with (
        httpx.AsyncClient(base_url=url, headers=headers, trust_env=False, timeout=30) as client,
        client.stream("GET", STREAM) as response,
    ):
        assert (response.status_code, response.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
        noting = asyncio.create_task(note(response))
        try:
            yield heard
        finally:
            noting.cancel()
            await asyncio.gather(noting, return_exceptions=True)
