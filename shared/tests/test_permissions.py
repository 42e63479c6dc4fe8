"""The broker itself refuses each user whatever is not its own to say, to hear or to make."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import aiormq
import httpx
import pytest
from aio_pika.abc import AbstractConnection
from aiormq.exceptions import ChannelAccessRefused
from spacehub import management, permissions, rabbit, topology
from spacehub.errors import Away
from spacehub.events.catalogue import DELIVERIES_EXCHANGE, EVENTS_EXCHANGE, FACTS, REQUESTS
from spacehub.permissions import BrokerUser, any_of
from spacehub.testing.broker import Broker, lay
from spacehub.topology import WORK_QUEUES
from spacehub_dev.provisioning.fresh import Vhost, drop_users

USERS = {user.name: user for user in permissions.users()}
PUBLISHED_BY: Mapping[str, str] = {
    "otp.requested": "auth",
    "bill.issued": "billing",
    "bill.cancelled": "billing",
    "payment.confirmed": "billing",
    "bill.overdue": "scheduler",
    "contract.signed": "leasing",
    "contract.ended": "leasing",
    "contract.expiring": "scheduler",
    "user.updated": "identity",
    "user.deleted": "identity",
    "notification.requested": "auth billing leasing identity owners notifier",
    "notification.requested.critical": "auth billing leasing identity owners notifier",
    "sms_budget.set": "owners",
    "sms_budget.threshold_reached": "sms-sender",
    "devices.prune_due": "scheduler",
    "retention.due": "scheduler",
    "sms.sent": "sms-sender",
    "sms.failed": "sms-sender",
    "sms.expired": "sms-sender",
    "sms.blocked": "sms-sender",
    "sms.unknown": "sms-sender",
    "push.sent": "push-sender",
    "push.failed": "push-sender",
    "device.died": "push-sender",
}
"""As agreed with the other domains."""

Place = tuple[str, str]
"""An exchange and a routing key."""


def everywhere() -> Iterator[Place]:
    """Every place where anything could be published."""
    for fact in FACTS:
        yield from ((EVENTS_EXCHANGE, key) for key in fact.routing_keys())
    for request in REQUESTS:
        yield from ((DELIVERIES_EXCHANGE, key) for key in request.routing_keys())
    for work in WORK_QUEUES:
        for queue in (work.name, work.dead, work.tier("5s")):
            yield from ((work.moves, queue), ("", queue))
    yield EVENTS_EXCHANGE, "bill.issued\n"
    yield EVENTS_EXCHANGE, "rent.raised"
    yield topology.UNROUTED_EXCHANGE, ""


def allowed(user: str) -> set[Place]:
    """Where `user` must be able to publish."""
    places = {(EVENTS_EXCHANGE, key) for key, by in PUBLISHED_BY.items() if user in by.split()}
    if user == "inbox-api":
        places |= {(DELIVERIES_EXCHANGE, key) for request in REQUESTS for key in request.routing_keys()}
    if user == "topology":
        # It declares queues with dead-letter targets, for which the broker wants this of it.
        places |= {(exchange, key) for exchange, key in everywhere() if not exchange}
    for work in WORK_QUEUES:
        if user in (work.service, "operator"):
            places |= {(work.moves, queue) for queue in (work.name, work.dead, work.tier("5s"))}
    return places


@dataclass(frozen=True)
class Court:
    """A broker with its topology and its users, whose names begin with `prefix`."""

    broker: Broker
    prefix: str

    def url(self, user: str) -> str:
        parts = urlsplit(self.broker.url)
        place = parts.netloc.rpartition("@")[2]
        return urlunsplit(parts._replace(netloc=f"{self.prefix}{user}:secret-{user}@{place}"))


@pytest.fixture(scope="module")
async def court(broker: Broker, module_vhost: Vhost) -> AsyncIterator[Court]:
    await lay(broker.url)
    prefix = f"test-{uuid4().hex[:8]}-"
    secrets = {name: f"secret-{name}" for name in permissions.names()}
    await management.make_users(
        broker.management_url, permissions.users(), secrets, vhost=module_vhost.name, prefix=prefix
    )
    yield Court(broker, prefix)
    await drop_users(broker.management_url, prefix)


@asynccontextmanager
async def channels(court: Court, user: str) -> AsyncIterator["Channels"]:
    connection = await rabbit.connect(court.url(user), name=f"test: {user}")
    yield Channels(connection)
    await rabbit.close(connection)


class Channels:
    """One connection, and a channel that is opened anew after each refusal."""

    def __init__(self, connection: AbstractConnection) -> None:
        self._connection = connection
        self._channel: aiormq.abc.AbstractChannel | None = None

    async def open(self) -> aiormq.abc.AbstractChannel:
        if self._channel is None or self._channel.is_closed:
            channel = await self._connection.channel(publisher_confirms=True, on_return_raises=False)
            self._channel = await channel.get_underlay_channel()
        return self._channel

    async def may_publish(self, place: Place) -> bool:
        channel = await self.open()
        exchange, key = place
        try:
            await channel.basic_publish(b"{}", exchange=exchange, routing_key=key, timeout=10)
        except ChannelAccessRefused:
            return False
        return True


@pytest.mark.parametrize("name", USERS)
async def test_user_publishes_what_is_its_own_and_nothing_else(court: Court, name: str) -> None:
    async with channels(court, name) as hand:
        found = {place for place in everywhere() if await hand.may_publish(place)}

    assert found == allowed(name)


def test_every_event_has_somebody_who_may_publish_it() -> None:
    assert set(PUBLISHED_BY) == {key for fact in FACTS for key in fact.routing_keys()}
    assert {name for by in PUBLISHED_BY.values() for name in by.split()} <= set(USERS)


@pytest.mark.parametrize("name", USERS)
async def test_user_reads_its_own_queues_and_no_other(court: Court, name: str) -> None:
    found = set()
    async with channels(court, name) as hand:
        for queue in topology.queues():
            channel = await hand.open()
            try:
                await channel.basic_consume(queue.name, _ignore, timeout=10)
                found.add(queue.name)
            except ChannelAccessRefused:
                pass

    own = {queue for work in WORK_QUEUES if work.service == name for queue in (work.name, work.parking)}
    dead = {work.dead for work in WORK_QUEUES} | {topology.AUDIT}
    everything = {queue.name for queue in topology.queues()}
    assert found == {"operator": dead, "topology": everything}.get(name, own)


async def _ignore(_: aiormq.abc.DeliveredMessage) -> None:
    pass


@pytest.mark.parametrize("name", [name for name in USERS if name != "topology"])
async def test_user_makes_and_deletes_nothing(court: Court, name: str) -> None:
    own = next((work.name for work in WORK_QUEUES if work.service == name), WORK_QUEUES[0].name)
    steps: Mapping[str, Callable[[aiormq.abc.AbstractChannel], Awaitable[object]]] = {
        "declare exchange": lambda channel: channel.exchange_declare(EVENTS_EXCHANGE, exchange_type="topic"),
        "delete exchange": lambda channel: channel.exchange_delete(EVENTS_EXCHANGE),
        "declare queue": lambda channel: channel.queue_declare(f"{name}.more", durable=True),
        "exclusive queue": lambda channel: channel.queue_declare("", exclusive=True),
        "delete queue": lambda channel: channel.queue_delete(own),
        "bind": lambda channel: channel.queue_bind(own, EVENTS_EXCHANGE, "bill.issued"),
        "unbind": lambda channel: channel.queue_unbind(own, EVENTS_EXCHANGE, "bill.issued"),
    }

    refused = []
    async with channels(court, name) as hand:
        for step, take in steps.items():
            channel = await hand.open()
            with pytest.raises(ChannelAccessRefused):
                await take(channel)
            refused.append(step)

    assert refused == list(steps)


@pytest.mark.parametrize("name", USERS)
async def test_anybody_may_look_a_queue_up(court: Court, name: str) -> None:
    async with channels(court, name) as hand:
        channel = await hand.open()
        answer = await channel.queue_declare(WORK_QUEUES[0].name, passive=True)

    assert answer.queue == WORK_QUEUES[0].name


async def test_topology_is_made_and_kept_by_its_own_user(court: Court, vhost: Vhost) -> None:
    secrets = {name: f"secret-{name}" for name in permissions.names()}
    await management.make_users(
        vhost.management_url, [USERS["topology"]], secrets, vhost=vhost.name, prefix=court.prefix
    )
    url = urlunsplit(urlsplit(court.url("topology"))._replace(path=f"/{vhost.name}"))
    login = urlsplit(url).netloc.rpartition("@")[0]
    place = urlsplit(vhost.management_url)
    as_topology = urlunsplit(place._replace(netloc=f"{login}@{place.netloc.rpartition('@')[2]}"))

    await lay(url)
    await management.catch_unrouted(as_topology, vhost=vhost.name)

    async with httpx.AsyncClient(base_url=vhost.management_url) as client:
        queues = (await client.get(f"/api/queues/{vhost.name}")).json()
        policies = (await client.get(f"/api/policies/{vhost.name}")).json()
    assert {queue["name"] for queue in queues} == {queue.name for queue in topology.queues()}
    assert [policy["name"] for policy in policies] == ["unrouted"]


@pytest.mark.parametrize("name", ["topology", "watcher", "billing"])
async def test_only_an_administrator_makes_users(court: Court, module_vhost: Vhost, name: str) -> None:
    place = urlsplit(module_vhost.management_url)
    login = urlsplit(court.url(name)).netloc.rpartition("@")[0]
    url = urlunsplit(place._replace(netloc=f"{login}@{place.netloc.rpartition('@')[2]}"))
    intruder = BrokerUser("intruder", tags=("administrator",))

    with pytest.raises(Away, match=r"users: status 40[13]"):
        await management.make_users(
            url, [intruder], {"intruder": "let-me-in"}, vhost=module_vhost.name, prefix=court.prefix
        )


def test_names_match_whole_and_nothing_matches_where_nothing_is_allowed() -> None:
    assert any_of(["sms.sent", "a-b"]) == r"\A(?:sms\.sent|a-b)\z"
    assert any_of([]) == "^$"
