"""The account's standing with the carrier: what refuses the account rests the lanes of every sender process.

A refusal is passed on by NOTIFY. Who misses it is refused as well, once, by its own next call.
"""

import asyncio
import json
from collections import deque
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import uuid4

import structlog
from spacehub import database
from spacehub.breaker import Breaker
from spacehub.errors import Away
from spacehub.outbox import Lane as LaneName
from spacehub.running import Backoff, happens
from spacehub.secret import Secret

from sms_sender.fates import CredentialsRefused, RateLimited
from sms_sender.lanes import Gateway, Lane, Pace

log = structlog.get_logger()

CHANNEL = "sms_account_refused"
LOOK = 10.0
"""Seconds between looks whether the connection on which others are heard is there: a silent end is not told."""

Refusal = RateLimited | CredentialsRefused

_KINDS: Mapping[str, type[Refusal]] = {"rate_limited": RateLimited, "credentials_refused": CredentialsRefused}


class Standing:
    """One process's share in it: its lanes, which hear the refusals of all processes and tell theirs."""

    def __init__(self, *, database_url: Secret) -> None:
        self.lanes: dict[LaneName, Lane] = {}
        self._url = database_url
        self._me = uuid4().hex
        self._untold: deque[Refusal] = deque()
        self._wake = asyncio.Event()

    def add(self, name: LaneName, gateway: Gateway, *, places: int, pace: Pace | None = None) -> Lane:
        """The lane `name` to the carrier, with so many `places` there."""
        lane = Lane(
            name, gateway=gateway, places=places, breaker=Breaker(name), account_refused=self.refused, pace=pace
        )
        self.lanes[name] = lane
        return lane

    def refused(self, refusal: Refusal) -> None:
        """Every lane here rests; those elsewhere hear of it, unless all rested already."""
        if self._rest(refusal):
            self._untold.append(refusal)
            self._wake.set()

    async def keep(self, stopping: asyncio.Event) -> None:
        """A long task: tells the other processes and hears them."""
        stop = asyncio.create_task(stopping.wait())
        stop.add_done_callback(lambda _: self._wake.set())
        backoff = Backoff()
        try:
            while not stopping.is_set():
                try:
                    await self._stay_in_touch(stopping, backoff)
                except Away as away:
                    log.warning("account_news_paused", reason=str(away))
                    await backoff.wait(stopping)
        finally:
            stop.cancel()

    async def _stay_in_touch(self, stopping: asyncio.Event, backoff: Backoff) -> None:
        self._untold.clear()  # of a while ago: whoever has not heard was refused meanwhile
        connection = await database.connect(self._url)
        try:
            async with database.mapped():
                connection.add_termination_listener(lambda _: self._wake.set())
                await connection.add_listener(CHANNEL, lambda *told: self._hear(str(told[-1])))
                while not stopping.is_set():
                    self._wake.clear()
                    while self._untold:
                        told = _written(self._untold.popleft(), by=self._me)
                        await connection.execute("SELECT pg_notify($1, $2)", CHANNEL, told)
                    await connection.execute("SELECT 1")
                    backoff.reset()
                    if not stopping.is_set():
                        await happens(self._wake, within=LOOK)
        finally:
            connection.terminate()

    def _hear(self, payload: str) -> None:
        told = json.loads(payload)
        if told["by"] != self._me:
            refusal = _read(told)
            log.warning("account_refused_elsewhere", reason=refusal.reason)
            self._rest(refusal)

    def _rest(self, refusal: Refusal) -> bool:
        """Whether a rest began with it."""
        before = [lane.breaker.rests_begun for lane in self.lanes.values()]
        for lane in self.lanes.values():
            lane.rest(refusal)
        return before != [lane.breaker.rests_begun for lane in self.lanes.values()]


def _written(refusal: Refusal, *, by: str) -> str:
    [kind] = [kind for kind, fate in _KINDS.items() if isinstance(refusal, fate)]
    seconds = refusal.retry_in and refusal.retry_in.total_seconds()
    return json.dumps({"by": by, "kind": kind, "reason": refusal.reason, "retry_in": seconds})


def _read(told: Mapping[str, Any]) -> Refusal:
    seconds = told["retry_in"]
    return _KINDS[told["kind"]](told["reason"], retry_in=None if seconds is None else timedelta(seconds=seconds))
