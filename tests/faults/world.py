"""The private system that an experiment happens to: its processes and servers, and the wires that can be cut."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import httpx
from spacehub.testing.proxy import Proxy
from spacehub.testing.waiting import eventually
from spacehub_dev.launcher.parts import whole_system
from spacehub_dev.launcher.processes import Plan, ProcessSpec, Surroundings
from spacehub_dev.launcher.system import System, running_system
from spacehub_dev.provisioning.finding import find_rabbitmq
from spacehub_dev.provisioning.rabbitmq import PrivateRabbit
from spacehub_dev.provisioning.servers import Report

from tests.faults.cluster import Cluster
from tests.faults.load import Client, Offering

FRESH_NUMBERS = "collect_statistics_interval = 1000"
"""So that the management API's counts are a second old, not five."""


@dataclass(frozen=True)
class Setting:
    """How a world differs from the one that most experiments share."""

    environment: tuple[tuple[str, str], ...] = ()
    broker: tuple[str, ...] = ()
    nodes: int = 1
    """Of the broker: one, or a cluster of three."""
    wired: bool = True
    """Whether database and gateway are reached through wires that can be cut, for which measuring pays a little."""
    sabotaged: bool = False
    """Whether a saboteur sits in each process, see `sabotaged`."""
    durable: bool = False
    """Whether PostgreSQL waits for the disk, as in production: a measurement has to, a kill -9 does not ask for it."""
    retold: Callable[[ProcessSpec, Path], ProcessSpec] | None = None
    """How each of our processes is told its settings in another way, with a directory for it."""


@dataclass
class World:
    """One running system. `database` and `gateway` are the wires by which the services reach PostgreSQL and the SMS
    gateway; `client` publishes to it as another domain would."""

    system: System
    setting: Setting
    client: Client
    http: httpx.AsyncClient
    wires: "Wires"

    @property
    def rabbitmq(self) -> PrivateRabbit | Cluster:
        """The broker, which must be one of our own."""
        broker = self.system.backing.rabbitmq
        assert isinstance(broker, PrivateRabbit | Cluster), "faults need a RabbitMQ of our own"
        return broker

    @property
    def cluster(self) -> Cluster:
        """The broker where it is one of three nodes."""
        assert isinstance(self.rabbitmq, Cluster)
        return self.rabbitmq

    @property
    def database(self) -> Proxy:
        """The wire to PostgreSQL."""
        assert self.wires.database is not None
        return self.wires.database

    @property
    def gateway(self) -> Proxy:
        """The wire to the SMS gateway."""
        assert self.wires.gateway is not None
        return self.wires.gateway

    @property
    def amqp_url(self) -> str:
        return self.system.backing.amqp_url

    async def behave(self, mode: str = "ok", **more: Any) -> None:
        """Tell the SMS gateway how to behave."""
        url = f"{self.system.plan.urls['sms_simulator_url']}/control/behaviour"
        (await self.http.put(url, json={"mode": mode, **more})).raise_for_status()

    async def texts(self) -> list[Mapping[str, Any]]:
        """Everything the SMS gateway accepted, in order."""
        url = f"{self.system.plan.urls['sms_simulator_url']}/control/messages"
        messages: list[Mapping[str, Any]] = (await self.http.get(url, params={"since": 0})).json()["messages"]
        return messages

    async def forget_texts(self) -> None:
        """Empty the SMS gateway's record."""
        await self.http.delete(f"{self.system.plan.urls['sms_simulator_url']}/control/messages")

    async def rows(self, database: str, query: str, *values: Any) -> list[asyncpg.Record]:
        """What a service has on record, read past the wire."""
        connection = await asyncpg.connect(self.system.backing.databases[database], timeout=10)
        try:
            return list(await connection.fetch(query, *values, timeout=30))
        finally:
            connection.terminate()

    async def queues(self) -> dict[str, int]:
        """How many messages each queue holds, waiting or in somebody's hands; about a second old."""
        answer = await self.manage("GET", "/api/queues?columns=name,messages")
        return {queue["name"]: queue.get("messages", 0) for queue in answer.json()}

    async def manage(self, method: str, path: str, **more: Any) -> httpx.Response:
        """A call of RabbitMQ's management API, which must succeed."""
        answer = await self.http.request(method, self.rabbitmq.management_url + path, timeout=20, **more)
        answer.raise_for_status()
        return answer

    async def control(self, *arguments: str) -> str:
        """What `rabbitmqctl` says."""
        return await asyncio.to_thread(self.rabbitmq.control, *arguments)

    async def ready(self, name: str, *, within: float = 60) -> None:
        """Wait until the process `name` says that it is ready."""
        [spec] = [spec for spec in self.system.plan.processes if spec.name == name]
        url = spec.ready_url

        async def it_is() -> bool:
            try:
                return url is None or (await self.http.get(url)).status_code == 200
            except httpx.HTTPError:
                return False

        await eventually(it_is, within=within, every=0.1, because=f"{name} should be ready")

    async def confirmed(self, offering: Offering, count: int) -> None:
        """Wait until the broker has confirmed so many events."""
        await eventually(lambda: len(offering.confirmed) >= count, within=60, because="the load should get going")


class Wires:
    """The proxies in a system's plan."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._opening: list[asyncio.Task[None]] = []
        self.database: Proxy | None = None
        self.gateway: Proxy | None = None

    def plan(self, around: Surroundings) -> Plan:
        """The whole system's plan with the wires in it; migrations go past them."""
        if not self._setting.wired:
            return whole_system(around)
        self.database = self._to(around.databases["sms"], around.port("wire to the database"))
        wired = {name: _at(url, self.database.url) for name, url in around.databases.items()}
        plan = whole_system(replace(around, databases=wired))
        self.gateway = self._to(plan.urls["sms_simulator_url"], around.port("wire to the gateway"))
        told = {"SMS_SENDER_GATEWAY_URL": f"{self.gateway.url}/sms"}
        processes = [_told(spec, told) if spec.name.startswith("sms-sender") else spec for spec in plan.processes]
        if self._setting.sabotaged:
            processes = [_sabotaged(spec) if is_ours(spec.name) else spec for spec in processes]
        if retold := self._setting.retold:
            place = around.directory / "mounted"
            processes = [retold(spec, place) if is_ours(spec.name) else spec for spec in processes]
        return replace(plan, migrations=whole_system(around).migrations, processes=processes)

    def _to(self, url: str, port: int) -> Proxy:
        proxy = Proxy(url, port=port)
        self._opening.append(asyncio.get_running_loop().create_task(proxy.open()))
        return proxy

    async def shut(self) -> None:
        """Cut them all."""
        for proxy in filter(None, (self.database, self.gateway)):
            proxy.unblock()
            await proxy.shut()


@asynccontextmanager
async def open_world(directory: Path, *, report: Report, setting: Setting = Setting()) -> AsyncIterator[World]:
    """Boot a system of its own in `directory`, which begins and ends empty."""
    environment = {**os.environ, "QUIET_HOURS": "off", "RATE_LIMIT": "off", **dict(setting.environment)}
    for name in ("AMQP_URL", "DATABASE_URL"):
        environment.pop(name, None)
    wires = Wires(setting)
    try:
        async with (
            running_system(
                directory,
                report=report,
                label="faults",
                keep_data=False,
                make_plan=wires.plan,
                environment=environment,
                rabbitmq_config=[FRESH_NUMBERS, *setting.broker],
                find_broker=find_rabbitmq if setting.nodes == 1 else Cluster,
                durable=setting.durable,
            ) as system,
            Client(system.backing.amqp_url) as client,
            httpx.AsyncClient(timeout=10, trust_env=False) as http,
        ):
            yield World(system, setting, client, http, wires)
    finally:
        await wires.shut()


def spec_of(world: World, name: str) -> ProcessSpec:
    """The plan's process called `name`."""
    [spec] = [spec for spec in world.system.plan.processes if spec.name == name]
    return spec


def names_of(world: World) -> Sequence[str]:
    """Our processes, without the simulators, which stand for the world outside."""
    return [name for name in world.system.programs if is_ours(name)]


def is_ours(name: str) -> bool:
    """Whether a process belongs to the system proper: neither a simulator, nor the public entry, which is HAProxy."""
    return "simulator" not in name and name != "gateway"


def _sabotaged(spec: ProcessSpec) -> ProcessSpec:
    """The same process with a saboteur inside."""
    saboteur = Path(__file__).with_name("sabotaged.py")
    return replace(spec, command=[sys.executable, str(saboteur), *spec.command])


def _told(spec: ProcessSpec, more: Mapping[str, str]) -> ProcessSpec:
    return replace(spec, environment={**spec.environment, **more})


def _at(url: str, place: str) -> str:
    """`url` at the host and port of `place`."""
    return urlunsplit(urlsplit(url)._replace(netloc=urlsplit(place).netloc))
