"""Firebase Cloud Messaging: the library's messages and credentials over a transport of our own.

Why not the library's transport: docs/decisions/0020-push-transport.md
"""

import asyncio
import traceback
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

import aiohttp
import structlog
from prometheus_client import Counter, Gauge, Histogram
from spacehub.breaker import Breaker
from spacehub.retry_after import retry_after
from spacehub.tracing import spans

from push_sender.access import Access, NoAccess
from push_sender.answers import Answer, read_answer
from push_sender.device import Platform
from push_sender.fates import Fate, Passing, Reached, Untried
from push_sender.message import Send

log = structlog.get_logger()

_ANSWERS = Counter(
    "spacehub_push_messages",
    "Messages to single devices, by what came of them, and why",
    ["platform", "fate", "reason"],
)
_SECONDS = Histogram(
    "spacehub_push_fcm_seconds",
    "Time FCM took to answer for one device",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
_REFUSED = Gauge("spacehub_push_credentials_refused", "1 while Google does not let us in: look at key and project")

IDLE = 30.0
"""Seconds a connection may idle before we close it; Google keeps them for minutes."""

LONGEST_REST = timedelta(minutes=10)
"""A lane rests no longer than this at a time, whatever Retry-After says; the message itself waits as long as asked."""


class Fcm:
    """One lane's way to FCM, with connections of its own: what hangs in one lane is not felt in the other.

    `lane` rests when FCM fails to answer or does not let us in; `platforms` hold back those whose own push service
    (APNs, web push) does not accept our credentials. Nothing that either holds back is sent.
    """

    MOST = 500
    """Messages a call, as many as firebase-admin takes."""

    def __init__(
        self,
        url: str,
        *,
        session: aiohttp.ClientSession,
        access: Access,
        lane: Breaker,
        platforms: Mapping[Platform, Breaker],
        connections: int,
    ) -> None:
        self._url = url
        self._session = session
        self._access = access
        self._lane = lane
        self._platforms = platforms
        self._free = asyncio.Semaphore(connections)

    async def send_each(self, sends: Sequence[Send]) -> list[Fate]:
        """Send up to 500 letters at the same time; the fate of each, in order. Raises nothing of FCM's."""
        if len(sends) > self.MOST:
            raise ValueError(f"{len(sends)} messages in one call, the limit is {self.MOST}")
        fates = await asyncio.gather(*map(self._send, sends))
        for send, fate in zip(sends, fates, strict=True):
            _ANSWERS.labels(send.device.platform, type(fate).__name__.lower(), getattr(fate, "reason", "")).inc()
        return fates

    async def _send(self, send: Send) -> Fate:
        platform = self._platforms[send.device.platform]
        async with self._free:  # asked after the wait: whatever began to rest meanwhile is not tried any more
            if not platform.admits():
                return Passing(platform.reason, platform.rest_left)
            if not self._lane.admits():
                platform.undecided()
                return Untried(self._lane.reason, self._lane.rest_left)
            try:
                answer = await self._answered(send)
            except BaseException:
                platform.undecided()
                self._lane.undecided()
                raise
        self._learn(answer, platform)
        return answer.fate

    async def _answered(self, send: Send) -> Answer:
        try:
            token = await self._access.token()
        except NoAccess as closed:
            return Answer(Untried(closed.reason), stops="lane")
        try:
            with _SECONDS.time(), spans.within(send.traceparent):
                status, body, retry_in = await self._post(send.letter.to(send.device), token)
        except TimeoutError:
            return Answer(Passing("timeout"))
        except (aiohttp.ClientError, OSError):
            return Answer(Passing("connection_lost"))
        except Exception as fault:  # one message's fault must not hide what became of the others
            where = traceback.format_tb(fault.__traceback__)
            log.error("fcm_client_broke", error=type(fault).__name__, where=where)  # its words may quote the message
            return Answer(Passing("unexpected"))
        answer = read_answer(status, body, retry_in=retry_in)
        if status == 401 and answer.stops == "lane":
            self._access.refused(token)
        return answer

    async def _post(self, body: bytes, token: str) -> tuple[int, bytes, timedelta | None]:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        async with self._session.post(self._url, data=body, headers=headers, allow_redirects=False) as response:
            return response.status, await response.read(), retry_after(response.headers)

    def _learn(self, answer: Answer, platform: Breaker) -> None:
        """Tell the breakers what the answer says about FCM and about the platform."""
        match answer:
            case Answer(Reached()):
                _REFUSED.set(0)
                self._lane.succeeded()
                platform.succeeded()
            case Answer(Passing(reason, retry_in), stops="platform"):
                self._lane.succeeded()
                platform.rest(reason, retry_in=retry_in)
            case Answer(Untried(reason, retry_in)):
                _REFUSED.set(1)
                self._lane.rest(reason, retry_in=retry_in)
                platform.undecided()
            case Answer(Passing(reason, retry_in)):
                self._lane.failed(reason, retry_in=retry_in and min(retry_in, LONGEST_REST))
                platform.undecided()
            case _:
                self._lane.succeeded()
                platform.undecided()


@asynccontextmanager
async def connections(*, timeout: timedelta) -> AsyncIterator[aiohttp.ClientSession]:
    """What lanes talk to FCM through; `timeout` is for all of one call, connecting included."""
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=IDLE),  # the lanes count for themselves
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=timeout.total_seconds()),
        trust_env=False,
        trace_configs=spans.of_calls(),
    ) as session:
        yield session


def platform_breakers() -> dict[Platform, Breaker]:
    """One for each platform, opened by a single refusal: a missing certificate does not mend itself in seconds."""
    return {
        platform: Breaker(platform, failures=1, first=60.0, longest=600.0) for platform in ("ios", "android", "web")
    }
