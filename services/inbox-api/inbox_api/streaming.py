"""Streaming: each new row of a feed told to the streams that are open for it, whichever process wrote it.

A stream reads its rows from the table, from its own position on and only when its client takes more: it never holds
more than one portion, and what it tells is exactly what the feed holds. The positions of all streams of a process are
compared with the feeds in one statement every so often (docs/decisions/0026-streams-are-woken-by-one-look.md).
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol
from uuid import UUID

import structlog
from prometheus_client import Counter, Gauge
from spacehub.errors import Away
from spacehub.running import happens

from inbox_api import positions
from inbox_api.feeds import Item

log = structlog.get_logger()

PORTION = 20
"""Rows that a stream holds at most."""
AGAIN = 1.0
"""Seconds until a stream that could not read its rows tries once more."""

_OPEN = Gauge("spacehub_inbox_streams_open", "Streams that this process holds")
_REFUSED = Counter("spacehub_inbox_streams_refused", "Streams that were not opened", ["why"])


class Feeds(Protocol):
    """The feeds in the service's database. Raises Away while it cannot be reached."""

    async def newer(self, user_id: UUID, *, than: int, most: int) -> Sequence[Item]:
        """The oldest rows numbered above `than`, oldest first: all there are up to the last of them."""

    async def last(self, users: Sequence[UUID]) -> Mapping[UUID, int]:
        """The number of the newest row in each of these users' feeds."""


class TooManyStreams(Exception):
    """The user has as many streams open as a user may."""


class NoRoom(Exception):
    """This process holds as many streams as it may, or is about to end: another will take it."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How many streams a user and a process may hold, and the pace of looks and heartbeats."""

    of_a_user: int = 10
    of_the_process: int = 2000
    look: timedelta = timedelta(seconds=0.5)
    heartbeat: timedelta = timedelta(seconds=15)


class Streams:
    """The streams that this process holds; `count` says how many."""

    def __init__(self, feeds: Feeds, *, limits: Limits) -> None:
        self._feeds = feeds
        self._limits = limits
        self._held: defaultdict[UUID, set[Stream]] = defaultdict(set)
        self.count = 0
        self._ending = False

    async def open(self, user_id: UUID, *, after: str | None, until: float) -> "Stream":
        """A stream of the user's rows, those after the position `after` or else those from now on.

        It ends at `until`, in seconds since 1970, and must be closed. Raises NotAPosition, TooManyStreams, NoRoom and
        Away.
        """
        wanted = positions.read(after, of=user_id) if after else None
        stream = self._hold(user_id, ends_in=until - time.time())
        try:
            last = (await self._feeds.last([user_id])).get(user_id, 0)
        except BaseException:
            stream.close()
            raise
        stream.seq = last if wanted is None else min(wanted, last)
        return stream

    async def watch(self, stopping: asyncio.Event) -> None:
        """A long task: wakes every stream that is behind its feed, and ends all of them when the process stops."""
        while not stopping.is_set():
            try:
                await self.look()
            except Away as away:
                log.warning("streams_wait", reason=str(away))
            await happens(stopping, within=self._limits.look.total_seconds())
        self._ending = True
        for streams in self._held.values():
            for stream in streams:
                stream.end()

    async def look(self) -> None:
        """Compare the positions of all streams with their feeds. Raises Away."""
        if not self._held:
            return
        for user_id, last in (await self._feeds.last(list(self._held))).items():
            for stream in self._held.get(user_id, ()):
                if stream.seq < last:
                    stream.wake()

    def forget(self, stream: "Stream") -> None:
        """Hold `stream` no longer."""
        theirs = self._held.get(stream.user_id, set())
        if stream not in theirs:
            return
        theirs.remove(stream)
        self.count -= 1
        _OPEN.dec()
        if not theirs:
            del self._held[stream.user_id]

    def _hold(self, user_id: UUID, *, ends_in: float) -> "Stream":
        if self._ending or self.count >= self._limits.of_the_process:
            _REFUSED.labels("process").inc()
            raise NoRoom
        if len(self._held.get(user_id, ())) >= self._limits.of_a_user:
            _REFUSED.labels("user").inc()
            raise TooManyStreams
        stream = Stream(self, self._feeds, user_id, ends_in=ends_in, heartbeat=self._limits.heartbeat.total_seconds())
        self._held[user_id].add(stream)
        self.count += 1
        _OPEN.inc()
        return stream


class Stream:
    """One client's stream; `seq` is the number of the row it told last."""

    def __init__(self, streams: Streams, feeds: Feeds, user_id: UUID, *, ends_in: float, heartbeat: float) -> None:
        self.user_id = user_id
        self.seq = 0
        self._streams = streams
        self._feeds = feeds
        self._ends_at = time.monotonic() + ends_in
        self._heartbeat = heartbeat
        self._woken = asyncio.Event()
        self._ended = False

    async def portions(self) -> AsyncGenerator[Sequence[Item], None]:
        """New rows as they appear, oldest first; an empty portion is a heartbeat."""
        beat_at = time.monotonic() + self._heartbeat
        while not self._ended and time.monotonic() < self._ends_at:
            self._woken.clear()
            again = self._heartbeat
            try:
                rows = await self._feeds.newer(self.user_id, than=self.seq, most=PORTION)
            except Away:
                rows, again = (), AGAIN
            if rows:
                self.seq = rows[-1].seq
                yield rows
            if len(rows) < PORTION and not self._ended:
                now = time.monotonic()
                await happens(self._woken, within=min(again, beat_at - now, self._ends_at - now))
            if time.monotonic() >= beat_at:
                beat_at = time.monotonic() + self._heartbeat
                yield ()

    def wake(self) -> None:
        """There is more to tell."""
        self._woken.set()

    def end(self) -> None:
        """Tell what is in hand and stop."""
        self._ended = True
        self._woken.set()

    def close(self) -> None:
        """The client is gone, or has been told everything."""
        self.end()
        self._streams.forget(self)
