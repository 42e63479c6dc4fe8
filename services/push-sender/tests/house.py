"""A house where push-sender runs as a process, between a real broker, the real devices-api and the simulated FCM."""

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import aio_pika
import httpx
from devices_api.consumers import device_events
from devices_api.devices import Registration
from devices_api.registry import Registry
from devices_api.routes import internal_api
from push_sender.device import Device
from pydantic import SecretStr
from spacehub import topology
from spacehub.auth.shared_secret import shared_secret
from spacehub.confirming import Confirm, Outgoing
from spacehub.consuming import letters
from spacehub.consuming.subscription import consuming
from spacehub.events.catalogue import DELIVERIES_EXCHANGE, EVENTS_EXCHANGE
from spacehub.events.envelope import Event, read, write
from spacehub.events.requests import PushRequested
from spacehub.rabbit import Publisher
from spacehub.testing.serving import served
from spacehub.testing.waiting import eventually
from spacehub_dev.provisioning.ports import release_port, reserve_port
from spacehub_dev.provisioning.program import Program

from .conftest import Simulator

SECRET = SecretStr("between-our-services")


@dataclass
class House:
    """What is around push-sender, and the processes of it."""

    amqp_url: str
    simulator: Simulator
    registry: Registry
    publisher: Publisher
    environment: Mapping[str, str]
    directory: Path
    devices_port: int
    heard: list[Event] = field(default_factory=list)
    programs: list[Program] = field(default_factory=list)
    ports: list[int] = field(default_factory=list)

    async def start(self, **settings: str) -> Program:
        """`push-sender consume`, when it is ready."""
        self.ports.append(reserve_port())
        name = f"consume {len(self.programs)}"
        environment = {**self.environment, "PUSH_SENDER_HEALTH_PORT": str(self.ports[-1]), **settings}
        command = [str(Path(sys.executable).with_name("push-sender")), "consume"]
        program = Program(name, command, self.directory, self.directory / f"{name}.log", environment)
        self.programs.append(program)
        program.start()
        await eventually(lambda: self.page("readyz"), within=30, because=program.last_lines())
        return program

    async def page(self, name: str) -> str:
        """One of the pages of the process that was started last; nothing while it does not answer 200."""
        async with httpx.AsyncClient(trust_env=False) as client:
            try:
                answer = await client.get(f"http://127.0.0.1:{self.ports[-1]}/{name}")
            except httpx.TransportError:
                return ""
        return answer.text if answer.status_code == httpx.codes.OK else ""

    @asynccontextmanager
    async def devices_api(self) -> AsyncIterator[None]:
        """devices-api answers while the block runs."""
        app = internal_api(authenticate=shared_secret(SECRET), registry=self.registry)
        async with served(app, port=self.devices_port):
            yield

    @asynccontextmanager
    async def deaths_are_heard(self) -> AsyncIterator[None]:
        """devices-api takes dead devices away while the block runs."""
        stopping = asyncio.Event()
        subscription = device_events(registry=self.registry)
        task = asyncio.ensure_future(consuming(subscription, url=self.amqp_url, publisher=self.publisher)(stopping))
        yield
        stopping.set()
        await task

    async def register(self, user: UUID, *devices: Device) -> None:
        """The devices are this user's from now on."""
        for device in devices:
            await self.registry.put(Registration(device.token, device.platform), user_id=user, new_id=uuid4())

    async def ask(self, *pushes: PushRequested, attempts: int = 0) -> None:
        """Publish the requests as inbox-api would."""
        written = [write(Event(str(push.push_id), "/inbox-api", push)) for push in pushes]
        headers = {letters.ATTEMPTS: attempts} if attempts else {}
        await self.put(
            *(
                Outgoing(
                    DELIVERIES_EXCHANGE, message.routing_key, message.body, message.id, message.content_type, headers
                )
                for message in written
            )
        )

    async def put(self, *messages: Outgoing) -> None:
        assert set(await self.publisher.publish(messages, within=20)) == {Confirm.ACKED}

    def told(self, kind: str) -> list[Any]:
        """What was told of this kind (`push.sent`, …), in order."""
        return [event.data for event in self.heard if event.data.type == kind]

    async def hears(self, kind: str, count: int = 1, *, within: float = 20) -> list[Any]:
        """What was told of this kind, when there is so much of it."""
        await eventually(lambda: len(self.told(kind)) >= count, within=within, because=f"{count} × {kind}")
        return self.told(kind)

    async def ended(self, *pushes: PushRequested, within: float = 30) -> None:
        """Wait until the end of each was told."""
        wanted = {push.push_id for push in pushes}

        def all_ended() -> bool:
            return wanted <= {end.push_id for end in (*self.told("push.sent"), *self.told("push.failed"))}

        await eventually(all_ended, within=within, because=f"{len(wanted)} ends")

    async def waiting(self, queue: str) -> int:
        """How many messages wait in `queue`."""
        connection = await aio_pika.connect(self.amqp_url)
        async with connection, connection.channel() as channel:
            count = (await channel.declare_queue(queue, passive=True)).declaration_result.message_count
        return count or 0

    def logs(self) -> str:
        """Everything that the processes wrote."""
        return "".join(program.log.read_text() for program in self.programs)


@asynccontextmanager
async def open_house(
    amqp_url: str, simulator: Simulator, registry: Registry, key_file: Path, directory: Path
) -> AsyncIterator[House]:
    """A house with empty queues and nobody in it; devices-api does not answer yet."""
    async with AsyncExitStack() as stack:
        devices_port = reserve_port()
        stack.callback(release_port, devices_port)
        environment = {
            "PUSH_SENDER_AMQP_URL": amqp_url,
            "PUSH_SENDER_QUIET_HOURS": "off",
            "PUSH_SENDER_FCM_PROJECT": "spacehub",
            "PUSH_SENDER_FCM_CREDENTIALS_FILE": str(key_file),
            "PUSH_SENDER_FCM_BASE_URL": simulator.url,
            "PUSH_SENDER_DEVICES_URL": f"http://127.0.0.1:{devices_port}",
            "PUSH_SENDER_DEVICES_SECRET": SECRET.get_secret_value(),
        }
        publisher = Publisher(amqp_url, name="tests")
        stack.push_async_callback(publisher.close)
        house = House(amqp_url, simulator, registry, publisher, environment, directory, devices_port)
        connection = await stack.enter_async_context(await aio_pika.connect(amqp_url))
        channel = await connection.channel()
        underlay = await channel.get_underlay_channel()
        for queue in topology.queues():
            if queue.name.startswith(("push-sender.", "devices-api.")):
                await underlay.queue_purge(queue.name)
        ear = await channel.declare_queue(exclusive=True)
        for key in ("push.sent", "push.failed", "device.died"):
            await ear.bind(EVENTS_EXCHANGE, key)

        async def hear(message: aio_pika.abc.AbstractIncomingMessage) -> None:
            house.heard.append(_event_in(message))

        await ear.consume(hear, no_ack=True)
        yield house
        for program in house.programs:
            program.kill()
        for port in house.ports:
            release_port(port)


def _event_in(message: aio_pika.abc.AbstractIncomingMessage) -> Event:
    return read(message.body, content_type=message.content_type, headers=message.headers)
