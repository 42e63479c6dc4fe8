"""Consumer, ledger and outbox held to a plain model, with a crash between any two steps: Hypothesis draws the story."""

import asyncio
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID, uuid4

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sms_sender.testing.requests import bill, otp
from spacehub import database
from spacehub.errors import Away
from spacehub.events.envelope import Event, write
from spacehub.events.facts import Fact
from spacehub.events.requests import SmsEndAsked, SmsRequested
from spacehub.forwarder import forward

from .crashing import ANSWERS, Broker, Carrier, Copy, ForwarderDied, Listener, Worker

if TYPE_CHECKING:
    import asyncpg

    Pool = asyncpg.Pool[asyncpg.Record]

A_MOMENT_AGO = "clock_timestamp() - interval '1 second'"
WORKERS = 3
PHONES = count()
"""One for each SMS of all stories: a phone gets few codes in a quarter of an hour."""
COPIES = 2
"""Of each request there are so many from the start: the broker may deliver any message again."""
NOT_SENT = ("failed", "expired", "blocked")
"""Ends after which only an earlier attempt, on record as in doubt, may have brought a text."""


@dataclass(frozen=True)
class Turn:
    """One worker's turn: it takes a message first, or is one that has one; it goes so far, and may die there.

    `mood` is the carrier's meanwhile.
    """

    takes: bool
    which: int
    steps: int
    dies: bool
    mood: str


TURNS = st.builds(
    Turn,
    st.booleans(),
    st.integers(0, 5),
    st.integers(0, 6),
    st.sampled_from([False] * 3 + [True]),
    st.sampled_from(["taken", "taken", *ANSWERS]),
)


class Story(RuleBasedStateMachine):
    """Requests, copies, workers, crashes, moods of the carrier, and time that passes, in any order."""

    def __init__(self, runner: asyncio.Runner, pool: "Pool") -> None:
        super().__init__()
        self.run = runner.run
        self.pool = pool
        self.carrier = Carrier()
        self.broker = Broker()
        self.listener = Listener()
        self.requests: list[SmsRequested] = []
        self.workers: list[Worker] = []
        self.run(pool.execute("TRUNCATE sms, outbox, closings"))

    @initialize(kinds=st.sampled_from([(otp,), (bill,), (otp, bill), (otp, otp)]))
    def ask(self, kinds: Any) -> None:
        for number, make in enumerate(kinds):
            phone = str(99_000_000 + next(PHONES))
            sms = make(text=f"{make.__name__} {number}", subject=f"bill:{number}", phone=phone)
            self.requests.append(sms)
            for _ in range(COPIES):
                self._offer(sms)

    @rule(data=st.data())
    def offer_a_copy(self, data: st.DataObject) -> None:
        """The forwarder repeats it, the broker redelivers it, or inbox-api asks for it again."""
        sms = data.draw(st.sampled_from(self.requests))
        self._offer(sms)

    @rule(data=st.data())
    def ask_for_its_end(self, data: st.DataObject) -> None:
        sms = data.draw(st.sampled_from(self.requests))
        self._offer(SmsEndAsked(sms_id=sms.sms_id, critical=sms.critical))

    @rule(turns=st.lists(TURNS, min_size=6, max_size=12))
    def work(self, turns: list[Turn]) -> None:
        """Workers take messages, go on and die, in turn."""
        for turn in turns:
            self.carrier.mood = turn.mood
            if turn.takes and self.broker.waiting and len(self.workers) < WORKERS:
                self.run(self._take(turn.which % len(self.broker.waiting)))
            if self.workers:
                worker = self.workers[turn.which % len(self.workers)]
                self.run(self._go_on(worker, turn.steps))
                if turn.dies and worker in self.workers:
                    self.run(worker.crash())
                    self._leaves(worker)

    @rule(mood=st.sampled_from(["confirms", "never hears", "is not heard", "forwarder dies"]))
    def forward(self, mood: str) -> None:
        """The forwarder takes what is due; whatever becomes of it, no outcome is deleted unheard."""
        self.listener.mood = mood
        self.run(self._forward())

    @rule(data=st.data())
    def a_lease_runs_out(self, data: st.DataObject) -> None:
        """Of a dead worker, or of one that the carrier has answered and that is slow to write it down."""
        if leases := self.run(self._leases()):
            self.run(self._run_out(data.draw(st.sampled_from(leases))))

    @rule(data=st.data())
    @precondition(lambda self: len(self.requests) > 1)
    def the_last_sms_expires_or_its_subject_is_closed(self, data: st.DataObject) -> None:
        sms = self.requests[-1]
        if data.draw(st.integers(0, 3)):
            return
        if data.draw(st.booleans()):
            close = "INSERT INTO closings (subject, closed, decided_at) VALUES ($1, true, now()) ON CONFLICT DO NOTHING"
            self.run(self.pool.execute(close, sms.subject))
            return
        self.run(self.pool.execute(f"UPDATE sms SET expires_at = {A_MOMENT_AGO} WHERE sms_id = $1", sms.sms_id))

    @rule()
    @precondition(lambda self: self.broker.dead)
    def somebody_redrives(self) -> None:
        self.broker.waiting.append(Copy(self.broker.dead.pop().body))

    @invariant()
    def nothing_is_paid_for_twice_but_in_doubt(self) -> None:
        rows = self.run(self._rows()) if self.requests else {}
        for sms in self.requests:
            row = rows.get(sms.sms_id)
            texts = self.carrier.texts[sms.text]
            if row is None:
                assert texts == 0
                continue
            assert texts <= row["ambiguous"] + (row["status"] not in ("waiting", *NOT_SENT))
            assert texts <= (2 if row["about"] == "otp.requested" else 1)
            assert not (row["status"] == "sent" and texts == 0)

    @invariant()
    def nobody_is_told_an_end_that_is_not(self) -> None:
        rows = self.run(self._rows()) if self.listener.heard else {}
        for sms_id, told in self.listener.heard.values():
            ended = rows[sms_id]["status"]
            assert told == f"sms.{ended}" or told in ("sms.unknown", "sms.failed"), (told, ended)

    def teardown(self) -> None:
        """However the story went: when everything works again, each SMS comes to its one end, and somebody is told."""
        self.carrier.mood, self.listener.mood = "taken", "confirms"
        self.run(self._come_to_an_end())
        self.run(self._forward())
        rows = self.run(self._rows())
        told = Counter(self.listener.heard.values())
        for sms in self.requests:
            status = rows[sms.sms_id]["status"]
            assert status not in ("claimed", "waiting")
            assert told[sms.sms_id, f"sms.{status}"] >= 1
        self.nothing_is_paid_for_twice_but_in_doubt()

    async def _come_to_an_end(self) -> None:
        for worker in list(self.workers):
            await self._go_on(worker)
        for _ in range(100):
            for sms_id in await self._leases():
                await self._run_out(sms_id)
            if not self.broker.waiting:
                return
            await self._go_on(await self._take(0))

    def _offer(self, asked: Fact) -> None:
        self.broker.waiting.append(Copy(write(Event(str(uuid4()), "/inbox-api", asked)).body))

    async def _take(self, place: int) -> Worker:
        copy = self.broker.waiting.pop(place)
        worker = Worker(copy, pool=self.pool, carrier=self.carrier, broker=self.broker)
        self.workers.append(worker)
        if not await worker.begin():
            self._leaves(worker)
        return worker

    async def _go_on(self, worker: Worker, steps: int = 1000) -> None:
        for _ in range(steps):
            if worker not in self.workers:
                return
            if not await worker.step():
                self._leaves(worker)

    async def _forward(self) -> None:
        with suppress(Away, ForwarderDied):
            async with self.pool.acquire() as connection:
                await forward(connection, lane="standard", publisher=self.listener)

    def _leaves(self, worker: Worker) -> None:
        self.workers.remove(worker)
        if not worker.acked:
            self.broker.waiting.append(worker.copy)

    async def _leases(self) -> list[UUID]:
        early = {worker.sms_id for worker in self.workers if not worker.carrier_answered}
        rows = await self.pool.fetch("SELECT sms_id FROM sms WHERE status = 'claimed'")
        return sorted({row["sms_id"] for row in rows} - early)

    async def _run_out(self, sms_id: UUID) -> None:
        await self.pool.execute(f"UPDATE sms SET lease_until = {A_MOMENT_AGO} WHERE sms_id = $1", sms_id)

    async def _rows(self) -> dict[UUID, Any]:
        rows = await self.pool.fetch("SELECT sms_id, status, about, ambiguous FROM sms")
        return {row["sms_id"]: row for row in rows}


AT_LENGTH = settings(
    max_examples=30,
    stateful_step_count=10,
    deadline=None,
    phases=[Phase.generate],  # a story that went wrong is told as it was drawn: to shorten it takes minutes
    suppress_health_check=list(HealthCheck),
)


def test_each_sms_comes_to_its_one_end_whatever_dies_between_two_steps(database_url: str) -> None:
    with asyncio.Runner() as runner:
        pool = runner.run(database.open_pool(database_url))
        run_state_machine_as_test(cast(Any, lambda: Story(runner, pool)), settings=AT_LENGTH)
        runner.run(pool.close())
