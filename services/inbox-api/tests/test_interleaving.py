"""Notifying and closing of one subject, interleaved at every step: whatever comes first, what is closed is not sent."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from datetime import datetime
from uuid import UUID

import pytest
from inbox_api.closings import Closing
from inbox_api.contacts import Contact
from inbox_api.notifying import Transaction, notify
from inbox_api.notifying_store import PostgresStore
from inbox_api.plans import Plan
from inbox_api.testing import BAT, CHECK_AFTER, SEAL, Inbox, bill, event, payment
from spacehub.events import facts
from spacehub.events.envelope import Event
from spacehub.testing.waiting import eventually

STEPS = ["begun", "taken in", "locked", "closings read", "contacts read", "written", "committed"]


class Stepping:
    """The real store, standing still once after `step` until it is told to go on."""

    def __init__(self, store: PostgresStore, step: str) -> None:
        self._store = store
        self._step = step
        self.reached = asyncio.Event()
        self.go_on = asyncio.Event()

    async def after(self, step: str) -> None:
        if step == self._step and not self.reached.is_set():
            self.reached.set()
            await self.go_on.wait()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        async with self._store.transaction() as inner:
            await self.after("begun")
            yield _Steps(inner, self)
        await self.after("committed")


class _Steps:
    def __init__(self, inner: Transaction, stepping: Stepping) -> None:
        self._inner = inner
        self._stepping = stepping

    async def take_in(self, events: Sequence[Event], *, now: datetime) -> list[Event]:
        fresh = await self._inner.take_in(events, now=now)
        await self._stepping.after("taken in")
        return fresh

    async def lock(self, *, shared: AbstractSet[str], alone: AbstractSet[str]) -> None:
        await self._inner.lock(shared=shared, alone=alone)
        await self._stepping.after("locked")

    async def closings(self, subjects: AbstractSet[str]) -> dict[str, Closing]:
        found = dict(await self._inner.closings(subjects))
        await self._stepping.after("closings read")
        return found

    async def contacts(self, users: AbstractSet[UUID], *, changing: AbstractSet[UUID]) -> dict[UUID, Contact]:
        found = dict(await self._inner.contacts(users, changing=changing))
        await self._stepping.after("contacts read")
        return found

    async def write(self, plan: Plan, *, now: datetime) -> None:
        await self._inner.write(plan, now=now)
        await self._stepping.after("written")


async def is_waiting_for_a_lock(inbox: Inbox) -> bool:
    rows = await inbox.rows(
        "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    return bool(rows)


@pytest.mark.parametrize("closing", [payment(), facts.BillCancelled(bill_id="123"), facts.UserDeleted(user_id=BAT)])
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("first", ["the bill", "its closing"])
async def test_whatever_comes_between_what_is_closed_is_not_sent(
    inbox: Inbox, first: str, step: str, closing: facts.Fact
) -> None:
    spoken, ended = event(bill("123"), id="spoken"), event(closing, id="closing")
    held, other = (spoken, ended) if first == "the bill" else (ended, spoken)
    stepping = Stepping(PostgresStore(inbox.pool, seal=SEAL, look_after=CHECK_AFTER), step)

    held_back = asyncio.create_task(notify([held], store=stepping, rules=inbox.rules, clock=lambda: inbox.now))
    await stepping.reached.wait()
    beside = asyncio.create_task(inbox.takes(other))

    async def done_or_waiting() -> bool:
        return beside.done() or await is_waiting_for_a_lock(inbox)

    await eventually(done_or_waiting)
    stepping.go_on.set()
    await asyncio.gather(held_back, beside)

    assert ("sms", "suppressed withdrawn") in await inbox.deliveries("spoken")
    assert "spoken" not in [request.source_id for request in await inbox.sms()]
