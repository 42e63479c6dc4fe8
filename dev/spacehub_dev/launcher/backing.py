"""The two servers under a system: found, started, named to its processes, and stopped or emptied at the end."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from spacehub_dev.launcher import databases
from spacehub_dev.provisioning.finding import Postgres, find_postgres, find_rabbitmq
from spacehub_dev.provisioning.fresh import Vhost, drop_users, drop_vhost, make_vhost
from spacehub_dev.provisioning.given import GivenServer
from spacehub_dev.provisioning.rabbitmq import administrates
from spacehub_dev.provisioning.servers import RabbitServer, Report, ServerUnavailable


@dataclass
class Backing:
    """PostgreSQL and RabbitMQ for one system. On servers given by URL its databases begin with `spacehub_`."""

    postgres: Postgres
    rabbitmq: RabbitServer
    label: str
    keep_data: bool
    report: Report
    vhost: Vhost | None = field(default=None, init=False)
    user_prefix: str | None = field(default="", init=False)
    """What keeps our broker users apart from a stranger's; None when we may make none."""

    @property
    def ours(self) -> bool:
        """Whether the broker is a private one."""
        return not isinstance(self.rabbitmq, GivenServer)

    @property
    def amqp_url(self) -> str:
        """The broker, with the virtual host that this system uses."""
        return self.rabbitmq.url if self.vhost is None else self.vhost.amqp_url

    @property
    def databases(self) -> Mapping[str, str]:
        """The URL of each service's database."""
        return databases.database_urls(self.postgres.url, prefix=self.prefix)

    @property
    def prefix(self) -> str:
        """What keeps our databases apart from a stranger's, and a demo's from those of `make run`."""
        if not isinstance(self.postgres, GivenServer):
            return ""
        return f"spacehub_{self.label}_" if self.label else "spacehub_"

    async def start_postgres(self) -> None:
        """Start it and make the databases that are absent."""
        await self._start("PostgreSQL", self.postgres.start)
        if not self.keep_data:
            await databases.drop_all(self.postgres.url, prefix=self.prefix)
        await databases.create_absent(self.postgres.url, prefix=self.prefix)

    async def start_rabbitmq(self) -> None:
        """Start it."""
        await self._start("RabbitMQ", self.rabbitmq.start)

    async def take_place(self) -> None:
        """On a broker given by URL: users of our own and, labelled, a virtual host, as far as we may make them."""
        if not self.ours:
            if await asyncio.to_thread(administrates, self.rabbitmq.management_url):
                self.user_prefix = f"spacehub-{self.label}-" if self.label else "spacehub-"
            else:
                self.user_prefix = None
                self.report("RabbitMQ: the user in AMQP_URL is no administrator, so every process works as that user")
        if self.label and not self.ours:
            try:
                self.vhost = await make_vhost(self.rabbitmq, name=f"spacehub-{self.label}")
            except ServerUnavailable:
                self.report("RabbitMQ: no virtual host of our own can be made, the one in AMQP_URL is used")

    async def stop(self) -> None:
        """Stop what is ours, both at the same time; without `keep_data` their data goes too."""
        if self.vhost is not None:
            if self.user_prefix:
                await drop_users(self.rabbitmq.management_url, self.user_prefix)
            await drop_vhost(self.vhost)
        ends = [self.postgres.stop, self.rabbitmq.stop]
        if not self.keep_data:
            ends = [self.postgres.discard, self.rabbitmq.discard]
        await asyncio.gather(*(asyncio.to_thread(end) for end in ends))

    async def _start(self, name: str, start: Callable[[], None]) -> None:
        self.report(f"{name}: starting")
        began = time.monotonic()
        await asyncio.to_thread(start)
        self.report(f"{name}: ready after {time.monotonic() - began:.1f} s")


class FindBroker(Protocol):
    """Makes a broker, not yet started, with its data under `directory`; `config`: further lines for rabbitmq.conf."""

    def __call__(self, directory: Path, *, report: Report, config: Sequence[str]) -> RabbitServer: ...


@asynccontextmanager
async def backing_servers(
    directory: Path,
    *,
    report: Report,
    label: str,
    keep_data: bool,
    config: Sequence[str],
    find_broker: FindBroker = find_rabbitmq,
    durable: bool = True,
) -> AsyncIterator[Backing]:
    """Find both servers, installing them where needed; they are started by the caller, and stopped with the block."""
    postgres = await asyncio.to_thread(find_postgres, directory, report=report, durable=durable)
    rabbitmq = await asyncio.to_thread(find_broker, directory, report=report, config=config)
    backing = Backing(postgres, rabbitmq, label, keep_data, report)
    await backing.take_place()
    try:
        yield backing
    finally:
        await backing.stop()
