"""A house where the processes of inbox-api run, between a real broker and a real database."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spacehub import topology
from spacehub.confirming import Confirm, Outgoing
from spacehub.events import envelope
from spacehub.events.catalogue import EVENTS_EXCHANGE
from spacehub.testing.waiting import eventually
from spacehub_dev.provisioning.ports import listening, reserve_port
from spacehub_dev.provisioning.program import Program

if TYPE_CHECKING:
    from inbox_api.testing import Inbox
    from spacehub.events.envelope import Event
    from spacehub.rabbit import Publisher
    from spacehub.testing.broker import Broker

HERE = Path(__file__).parent


@dataclass
class House:
    """A broker and a database, and the processes of ours between them."""

    inbox: Inbox
    broker: Broker
    publisher: Publisher
    environment: Mapping[str, str]
    directory: Path
    ports: list[int] = field(default_factory=list)
    programs: list[Program] = field(default_factory=list)

    def start(self, verb: str, **settings: str) -> Program:
        """`inbox-api consume` or `forward`."""
        return self._start(verb, [str(Path(sys.executable).with_name("inbox-api")), *verb.split()], settings)

    async def serve(self, **settings: str) -> tuple[Program, str]:
        """`inbox-api serve`, ready; and its URL."""
        self.ports.append(port := reserve_port())
        program = self.start("serve", INBOX_API_HTTP_PORT=str(port), **settings)
        await eventually(partial(listening, port), within=60)
        return program, f"http://127.0.0.1:{port}"

    async def start_stopping(self, point: str) -> Program:
        """A consumer that has come to `point` with one batch and stands still there."""
        program = self._start(f"stopping at {point}", [sys.executable, str(HERE / "stopping_inbox.py"), point], {})
        await eventually(lambda: "stands_still" in program.log.read_text(), because=f"stopping at {point}")
        return program

    def _start(self, name: str, command: list[str], settings: Mapping[str, str]) -> Program:
        self.ports.append(reserve_port())
        environment = {**self.environment, "INBOX_API_HEALTH_PORT": str(self.ports[-1]), **settings}
        name = f"{name} {len(self.programs)}"
        program = Program(name, command, self.directory, self.directory / f"{name}.log", environment)
        self.programs.append(program)
        program.start()
        return program

    async def publish(self, *events: Event) -> None:
        """Publish the events as another domain would."""
        messages = [(event.data.routing_key, envelope.write(event)) for event in events]
        await self.put(
            *(Outgoing(EVENTS_EXCHANGE, key, told.body, told.id, told.content_type) for key, told in messages)
        )

    async def put(self, *messages: Outgoing) -> None:
        assert set(await self.publisher.publish(messages, within=20)) == {Confirm.ACKED}

    async def takes_in(self, *events: Event) -> None:
        """Wait until each of them is on record."""

        async def all_on_record() -> bool:
            rows = await self.inbox.rows("SELECT event_id FROM events")
            return {event.id for event in events} <= {row["event_id"] for row in rows}

        await eventually(all_on_record, within=60, because="events on record")

    async def requests(self, queue: str, count: int) -> list[Any]:
        """The data of the next `count` requests for a sender, taken out of its queue."""
        await eventually(partial(self._holds, queue, count), within=30, because=f"{count} in {queue}")
        return [
            envelope.read(
                message.body,
                content_type=message.header.properties.content_type,
                headers=message.header.properties.headers or {},
            ).data
            for message in await self.broker.take(queue)
        ]

    async def empties(self, queue: str) -> None:
        """Wait until nothing waits in `queue` and its retry tiers; what is in somebody's hands does not count."""
        names = [queue, *(f"{queue}.retry.{tier}" for tier in topology.TIERS)]

        async def nothing_waits() -> bool:
            return not any([await self.broker.count(name) for name in names])

        await eventually(nothing_waits)

    async def _holds(self, queue: str, count: int) -> bool:
        return await self.broker.count(queue) >= count
