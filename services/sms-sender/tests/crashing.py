"""Workers that can be killed between any two steps, and what they stand between: a broker, a carrier, a listener."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

from aiormq.abc import DeliveredMessage
from pamqp import commands, header
from pydantic import SecretStr
from sms_sender.consumers import sms_requests
from sms_sender.fates import Accepted, CredentialsRefused, GatewayUnavailable, NoAnswer, Refused
from sms_sender.ledger import Ledger
from sms_sender.sending import give_up, send_sms
from spacehub.confirming import Confirm, Outgoing
from spacehub.consuming.settling import settle
from spacehub.events.envelope import STRUCTURED, read
from spacehub.events.requests import SmsRequested
from spacehub.rabbit import Publisher

if TYPE_CHECKING:
    import asyncpg

    Pool = asyncpg.Pool[asyncpg.Record]

DEADLINE = timedelta(seconds=10)
ANSWERS = {
    "taken": (None, True),
    "refused": (Refused("invalid_phone"), False),
    "unavailable": (GatewayUnavailable("status_503"), False),
    "password refused": (CredentialsRefused("credentials"), False),
    "lost, taken": (NoAnswer("timeout"), True),
    "lost, not taken": (NoAnswer("connection_lost"), False),
}
"""What the carrier says, and whether it took the text."""


class Gate:
    """Where a worker stands until the story goes on with it, or kills it."""

    def __init__(self) -> None:
        self._arrived = asyncio.Event()
        self._open = asyncio.Event()

    async def passing(self) -> None:
        """A place at which a process may die."""
        self._arrived.set()
        await self._open.wait()
        self._open.clear()

    async def reached_by(self, worker: "asyncio.Task[None]") -> bool:
        """Whether `worker` comes to such a place; False when it comes to its end."""
        arriving = asyncio.ensure_future(self._arrived.wait())
        await asyncio.wait({arriving, worker}, return_when=asyncio.FIRST_COMPLETED)
        arriving.cancel()
        return not worker.done()

    async def opened_for(self, worker: "asyncio.Task[None]") -> bool:
        """Let `worker` go on to the next such place."""
        self._arrived.clear()
        self._open.set()
        return await self.reached_by(worker)


class Steps:
    """A port whose every call can be interrupted by a crash before it happens, and before its answer is heard."""

    def __init__(self, port: Any, gate: Gate) -> None:
        self._port = port
        self._gate = gate

    def __getattr__(self, name: str) -> Any:
        async def call(*values: Any, **named: Any) -> Any:
            await self._gate.passing()
            answer = await getattr(self._port, name)(*values, **named)
            await self._gate.passing()
            return answer

        return call


@dataclass(frozen=True)
class Copy:
    """One message in the broker."""

    body: bytes
    headers: dict[str, Any] = field(default_factory=dict)

    @property
    def sms_id(self) -> UUID:
        data: Any = read(self.body, content_type=STRUCTURED, headers={}).data
        return UUID(str(data.sms_id))

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


class Listener:
    """Whoever hears the outcomes: the forwarder publishes to it, and may not hear that it has."""

    def __init__(self) -> None:
        self.mood = "confirms"
        self.heard: dict[str, tuple[UUID, str]] = {}
        """The outcomes by their ids, so that copies count once: of which SMS, and which type."""

    async def publish(self, messages: Sequence[Outgoing], *, within: float = 5.0) -> list[Confirm]:
        if self.mood != "never hears":
            for message in messages:
                event = read(message.body, content_type=STRUCTURED, headers={})
                self.heard[event.id] = cast(Any, event.data).sms_id, event.data.type
        if self.mood == "forwarder dies":
            raise ForwarderDied
        return [Confirm.ACKED if self.mood == "confirms" else Confirm.UNCERTAIN for _ in messages]


class ForwarderDied(Exception):
    """After the broker had its messages, before it knew."""


class Worker:
    """One message in hand of a consumer, in a process of its own."""

    is_lost = False

    def __init__(self, copy: Copy, *, pool: "Pool", carrier: Carrier, broker: Broker) -> None:
        self.copy = copy
        self.sms_id = copy.sms_id
        self.acked = False
        self.carrier_answered = False
        self._carrier = carrier
        self._gate = Gate()
        ledger = Steps(Ledger(pool, phone_key=SecretStr("a key for tests")), self._gate)

        async def send(sms: SmsRequested) -> None:
            await send_sms(sms, gateway=self, ledger=ledger, deadline=DEADLINE)

        async def exhausted(sms: SmsRequested) -> None:
            await give_up(sms, ledger=ledger)

        lane = sms_requests("standard", send=send, give_up=exhausted, tell=ledger.tell, workers=1)
        self._running = asyncio.ensure_future(
            settle(
                [copy.delivered()],
                queue=lane.queue,
                handle=lane.handle,
                exhausted=lane.exhausted,
                session=self,
                publisher=cast(Publisher, Steps(broker, self._gate)),
                stopping=asyncio.Event(),
            )
        )

    async def send(self, to: str, text: str) -> Accepted:
        await self._gate.passing()
        try:
            return await self._carrier.send(to, text)
        finally:
            self.carrier_answered = True

    async def ack(self, _: DeliveredMessage) -> None:
        await self._gate.passing()
        self.acked = True

    async def begin(self) -> bool:
        """Come to the first place; False at the end."""
        return await self._gate.reached_by(self._running)

    async def step(self) -> bool:
        """Go on to the next place; False at the end."""
        if await self._gate.opened_for(self._running):
            return True
        self._running.result()
        return False

    async def crash(self) -> None:
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)
