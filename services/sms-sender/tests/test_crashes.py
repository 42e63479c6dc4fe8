"""Consumer, ledger and outbox held to a plain model, with a crash between any two steps: Hypothesis draws the story."""

import asyncio
import types
from collections import Counter
from collections.abc import Coroutine, Generator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID, uuid4

from aiormq.abc import DeliveredMessage
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from pamqp import commands, header
from sms_sender.consumers import sms_requests
from sms_sender.fates import Accepted, CredentialsRefused, GatewayUnavailable, NoAnswer, Refused
from sms_sender.sending import give_up, send_sms
from sms_sender.testing.memory import FakeLedger
from sms_sender.testing.requests import bill, otp
from spacehub.confirming import Confirm, Outgoing
from spacehub.consuming.settling import settle
from spacehub.events.envelope import STRUCTURED, Event, read, write
from spacehub.events.requests import SmsRequested
from spacehub.rabbit import Publisher

DEADLINE = timedelta(seconds=10)
WORKERS = 3
ANSWERS = {
    "taken": (None, True),
    "refused": (Refused("invalid_phone"), False),
    "unavailable": (GatewayUnavailable("status_503"), False),
    "password refused": (CredentialsRefused("credentials"), False),
    "lost, taken": (NoAnswer("timeout"), True),
    "lost, not taken": (NoAnswer("connection_lost"), False),
}
"""What the carrier says, and whether it took the text."""
NOT_SENT = ("failed", "expired", "blocked")
"""Ends after which only an earlier attempt, on record as in doubt, may have brought a text."""


@types.coroutine
def may_crash_here() -> Generator[None, None, None]:
    """Where a worker stands until the story goes on with it, or kills it."""
    yield


class Steps:
    """A port whose every call can be interrupted by a crash before it happens, and before its answer is heard."""

    def __init__(self, port: Any) -> None:
        self._port = port

    def __getattr__(self, name: str) -> Any:
        async def call(*values: Any, **named: Any) -> Any:
            await may_crash_here()
            answer = await getattr(self._port, name)(*values, **named)
            await may_crash_here()
            return answer

        return call


@dataclass(frozen=True)
class Copy:
    """One message in the broker."""

    body: bytes
    headers: dict[str, Any] = field(default_factory=dict)

    @property
    def request(self) -> SmsRequested:
        data = read(self.body, content_type=STRUCTURED, headers={}).data
        assert isinstance(data, SmsRequested)
        return data

    def delivered(self) -> DeliveredMessage:
        properties = commands.Basic.Properties(content_type=STRUCTURED, headers=self.headers, message_id="1")
        found = header.ContentHeader(body_size=len(self.body), properties=properties)
        return DeliveredMessage(commands.Basic.Deliver("worker", 1), found, self.body, cast(Any, None))


class Broker:
    """What waits: publishing puts into it, and may not be heard of."""

    def __init__(self) -> None:
        self.waiting: list[Copy] = []
        self.dead: list[Copy] = []

    async def publish(self, messages: Sequence[Outgoing], *, within: float = 5.0) -> list[Confirm]:
        for message in messages:
            into = self.dead if message.routing_key.endswith(".dead") else self.waiting
            into.append(Copy(message.body, dict(message.headers)))
        return [Confirm.ACKED for _ in messages]


class Carrier:
    """The carrier in its mood of the moment."""

    def __init__(self) -> None:
        self.mood = "taken"
        self.texts: Counter[str] = Counter()

    async def send(self, _: str, text: str) -> Accepted:
        error, taken = ANSWERS[self.mood]
        self.texts[text] += taken
        if error is not None:
            raise error
        return Accepted("m-1", timedelta(milliseconds=1))


class Worker:
    """One message in hand of a consumer."""

    is_lost = False

    def __init__(self, copy: Copy, *, ledger: FakeLedger, carrier: Carrier, broker: Broker) -> None:
        self.copy = copy
        self.sms_id = copy.request.sms_id
        self.acked = False
        self.carrier_answered = False
        self._carrier = carrier
        steps = Steps(ledger)

        async def send(sms: SmsRequested) -> None:
            await send_sms(sms, gateway=self, ledger=steps, deadline=DEADLINE)

        async def exhausted(sms: SmsRequested) -> None:
            await give_up(sms, ledger=steps)

        lane = sms_requests("standard", send=send, give_up=exhausted, tell=steps.tell, workers=1)
        self._running: Coroutine[Any, Any, None] = settle(
            [copy.delivered()],
            queue=lane.queue,
            handle=lane.handle,
            exhausted=lane.exhausted,
            session=self,
            publisher=cast(Publisher, Steps(broker)),
            stopping=asyncio.Event(),
        )

    async def send(self, to: str, text: str) -> Accepted:
        await may_crash_here()
        try:
            return await self._carrier.send(to, text)
        finally:
            self.carrier_answered = True

    async def ack(self, _: DeliveredMessage) -> None:
        await may_crash_here()
        self.acked = True

    def step(self) -> bool:
        """Go on to the next place; False at the end."""
        try:
            self._running.send(None)
        except StopIteration:
            return False
        return True

    def crash(self) -> None:
        self._running.close()


class Story(RuleBasedStateMachine):
    """Requests, copies, workers, crashes, moods of the carrier, and time that passes, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = FakeLedger()
        self.carrier = Carrier()
        self.broker = Broker()
        self.requests: list[SmsRequested] = []
        self.workers: list[Worker] = []

    @rule(make=st.sampled_from([bill, otp]))
    @precondition(lambda self: len(self.requests) < 3)
    def ask(self, make: Any) -> None:
        sms = make(text=f"{make.__name__} {len(self.requests)}", subject=f"bill:{len(self.requests)}")
        self.requests.append(sms)
        self._offer(sms)

    @rule(data=st.data())
    @precondition(lambda self: self.requests)
    def offer_a_copy(self, data: st.DataObject) -> None:
        """The forwarder repeats it, the broker redelivers it, or inbox-api asks for it again."""
        self._offer(data.draw(st.sampled_from(self.requests)))

    @rule(data=st.data())
    @precondition(lambda self: self.broker.waiting and len(self.workers) < WORKERS)
    def take(self, data: st.DataObject) -> None:
        self._take(data.draw(st.integers(0, len(self.broker.waiting) - 1)))

    @rule(data=st.data(), steps=st.integers(1, 8))
    @precondition(lambda self: self.workers)
    def go_on(self, data: st.DataObject, steps: int) -> None:
        worker = data.draw(st.sampled_from(self.workers))
        for _ in range(steps):
            if not worker.step():
                self._leaves(worker)
                return

    @rule(data=st.data())
    @precondition(lambda self: self.workers)
    def crash(self, data: st.DataObject) -> None:
        worker = data.draw(st.sampled_from(self.workers))
        worker.crash()
        self._leaves(worker)

    @rule(mood=st.sampled_from(sorted(ANSWERS)))
    def carrier_changes(self, mood: str) -> None:
        self.carrier.mood = mood

    @rule(data=st.data())
    @precondition(lambda self: self._leases())
    def a_lease_runs_out(self, data: st.DataObject) -> None:
        """Of a dead worker, or of one that the carrier has answered and that is slow to write it down."""
        self._run_out(data.draw(st.sampled_from(self._leases())))

    @rule(data=st.data())
    @precondition(lambda self: self.ledger.rows)
    def an_sms_expires(self, data: st.DataObject) -> None:
        row = self.ledger.rows[data.draw(st.sampled_from(sorted(self.ledger.rows)))]
        row.expires_at = datetime.now(UTC) - timedelta(seconds=1)

    @rule(data=st.data())
    @precondition(lambda self: self.requests)
    def a_subject_is_closed(self, data: st.DataObject) -> None:
        self.ledger.closed.add(str(data.draw(st.sampled_from(self.requests)).subject))

    @rule()
    @precondition(lambda self: self.broker.dead)
    def somebody_redrives(self) -> None:
        self.broker.waiting.append(Copy(self.broker.dead.pop().body))

    @invariant()
    def nothing_is_paid_for_twice_but_in_doubt(self) -> None:
        for sms in self.requests:
            row = self.ledger.rows.get(sms.sms_id)
            texts = self.carrier.texts[sms.text]
            if row is None:
                assert texts == 0
                continue
            assert texts <= row.ambiguous + (row.status not in ("waiting", *NOT_SENT))
            assert texts <= (2 if row.about == "otp.requested" else 1)
            assert not (row.status == "sent" and texts == 0)

    def teardown(self) -> None:
        """However the story went: when everything works again, each SMS comes to its one end, and somebody is told."""
        self.carrier.mood = "taken"
        for worker in list(self.workers):
            self._finish(worker)
        for _ in range(100):
            for sms_id in self._leases():
                self._run_out(sms_id)
            if not self.broker.waiting:
                break
            self._finish(self._take(0))
        outcomes: list[Any] = [event.data for event in self.ledger.events]
        told = {(outcome.sms_id, outcome.type) for outcome in outcomes}
        for sms in self.requests:
            status = self.ledger.rows[sms.sms_id].status
            assert status not in ("claimed", "waiting")
            assert (sms.sms_id, f"sms.{status}") in told
        self.nothing_is_paid_for_twice_but_in_doubt()

    def _offer(self, sms: SmsRequested) -> None:
        self.broker.waiting.append(Copy(write(Event(str(uuid4()), "/inbox-api", sms)).body))

    def _take(self, place: int) -> Worker:
        copy = self.broker.waiting.pop(place)
        worker = Worker(copy, ledger=self.ledger, carrier=self.carrier, broker=self.broker)
        self.workers.append(worker)
        return worker

    def _finish(self, worker: Worker) -> None:
        while worker.step():
            continue
        self._leaves(worker)

    def _leaves(self, worker: Worker) -> None:
        self.workers.remove(worker)
        if not worker.acked:
            self.broker.waiting.append(worker.copy)

    def _leases(self) -> list[UUID]:
        early = {worker.sms_id for worker in self.workers if not worker.carrier_answered}
        return sorted(
            row.sms_id for row in self.ledger.rows.values() if row.status == "claimed" and row.sms_id not in early
        )

    def _run_out(self, sms_id: UUID) -> None:
        self.ledger.rows[sms_id].lease_until = datetime.now(UTC) - timedelta(seconds=1)


TestStory = Story.TestCase
TestStory.settings = settings(
    max_examples=150, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
