"""Every exchange, queue and binding there must be is there, and comes back; nobody's event is dropped."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import aio_pika
import httpx
import pytest
from spacehub import rabbit, topology
from spacehub.cli.main import app
from spacehub.cli.topology import Kept, keeping
from spacehub.confirming import Confirm, Outgoing
from spacehub.events.catalogue import DELIVERIES_EXCHANGE, EVENTS_EXCHANGE, FACTS, REQUESTS
from spacehub.rabbit import Publisher
from spacehub.running import Task
from spacehub.testing.broker import Broker, broker_at
from spacehub.testing.proxy import Proxy, proxy_to
from spacehub.testing.waiting import eventually
from spacehub.topology import AUDIT, BY_NAME, TIERS, WORK_QUEUES
from spacehub_dev.provisioning.fresh import Vhost
from structlog.testing import capture_logs
from typer.testing import CliRunner, Result

AGREED = [
    *("sms-sender.critical", "sms-sender.standard", "push-sender.critical", "push-sender.standard"),
    *("inbox-api.critical", "inbox-api.standard"),
]
"""The queues that must exist by these names."""

MONTH = int(timedelta(days=30).total_seconds() * 1000)


@pytest.fixture(scope="module")
async def laid(broker: Broker, module_vhost: Vhost) -> Mapping[str, Any]:
    """The queues as the management API describes them, after `spacehub topology apply`."""
    result = await run("topology", "apply", "--amqp-url", broker.url, "--management-url", broker.management_url)
    assert result.exit_code == 0, result.output
    async with httpx.AsyncClient(base_url=broker.management_url) as client:
        queues = (await client.get(f"/api/queues/{module_vhost.name}")).raise_for_status().json()
    return {queue["name"]: queue for queue in queues}


def keep(url: str, management_url: str | None, kept: Kept | None = None) -> Task:
    return keeping(url, management_url, kept=kept or Kept(), every=0.05)


@asynccontextmanager
async def kept(broker: Broker) -> AsyncIterator[None]:
    stopping = asyncio.Event()
    keeper = asyncio.ensure_future(keep(broker.url, broker.management_url)(stopping))
    try:
        yield
    finally:
        stopping.set()
        await keeper


async def run(*arguments: str) -> Result:
    return await asyncio.to_thread(CliRunner().invoke, app, arguments)


async def exists(broker: Broker, queue: str) -> bool:
    """Asked over a connection of its own: a queue that is not there closes the channel."""
    async with broker_at(broker.url, broker.management_url) as hand:
        try:
            await hand.count(queue)
        except aio_pika.exceptions.ChannelNotFoundEntity:
            return False
    return True


@pytest.mark.parametrize("name", AGREED)
async def test_agreed_queue_is_as_agreed(laid: Mapping[str, Any], name: str) -> None:
    queue = laid[name]

    assert (queue["type"], queue["durable"], queue["exclusive"], queue["auto_delete"]) == ("quorum", True, False, False)
    assert queue["arguments"]["x-delivery-limit"] == 20
    assert queue["arguments"]["x-dead-letter-exchange"] == ""
    assert queue["arguments"]["x-dead-letter-routing-key"] in laid


@pytest.mark.parametrize("name", BY_NAME)
async def test_every_work_queue_has_its_tiers_and_its_dead_letters(laid: Mapping[str, Any], name: str) -> None:
    dead, parking = laid[f"{name}.dead"], laid[f"{name}.parking"]

    for tier, delay in TIERS.items():
        arguments = laid[f"{name}.retry.{tier}"]["arguments"]
        assert arguments["x-message-ttl"] == delay.total_seconds() * 1000
        assert (arguments["x-dead-letter-exchange"], arguments["x-dead-letter-routing-key"]) == ("", name)
    assert dead["arguments"]["x-message-ttl"] == MONTH
    assert "x-message-ttl" not in parking["arguments"] | laid[name]["arguments"]


async def test_every_queue_is_safe(laid: Mapping[str, Any]) -> None:
    for name, queue in laid.items():
        arguments = queue["arguments"]
        assert (queue["type"], queue["durable"]) == ("quorum", True), name
        if "x-dead-letter-exchange" in arguments:
            assert arguments["x-dead-letter-strategy"] == "at-least-once", name
            assert arguments["x-overflow"] == "reject-publish", name
        if name.endswith((".dead", ".parking")):
            assert arguments["x-delivery-limit"] > 10_000, name


async def test_events_of_one_user_are_taken_in_in_their_order_by_one_consumer_at_a_time(
    laid: Mapping[str, Any],
) -> None:
    in_order = {name for name, queue in laid.items() if queue["arguments"].get("x-single-active-consumer")}

    assert in_order == {"inbox-api.standard"}


async def test_names_follow_the_agreement(laid: Mapping[str, Any]) -> None:
    ours = {f"{work.name}{end}" for work in WORK_QUEUES for end in ("", ".dead", ".parking")}
    tiers = {f"{work.name}.retry.{tier}" for work in WORK_QUEUES for tier in ("5s", "30s", "2m", "10m", "1h")}

    assert set(laid) == ours | tiers | {AUDIT}


def test_every_event_and_request_has_a_queue() -> None:
    events = {model.type for model in FACTS} | {"notification.requested.critical"}
    lanes = {f"{model.type.split('.')[0]}.{lane}" for model in REQUESTS for lane in ("critical", "standard")}

    bound = list(topology.bindings())

    assert {key for exchange, _, key in bound if exchange == EVENTS_EXCHANGE} == events
    assert {key for exchange, _, key in bound if exchange == DELIVERIES_EXCHANGE} == lanes


def test_closing_events_reach_all_who_hold_something_back() -> None:
    closing = {"payment.confirmed", "bill.cancelled", "contract.ended", "user.deleted"}

    for name in ("inbox-api.standard", "sms-sender.facts", "scheduler.facts"):
        assert closing <= set(BY_NAME[name].keys)


async def test_declaring_twice_changes_nothing(laid: Mapping[str, Any], broker: Broker) -> None:
    await broker.put("push-sender.critical", b"{}")

    connection = await rabbit.connect(broker.url, name="test")
    await topology.declare(connection)
    await rabbit.close(connection)

    assert len(await broker.take("push-sender.critical")) == 1


async def test_other_domain_may_declare_the_exchange_plainly(laid: Mapping[str, Any], broker: Broker) -> None:
    connection = await aio_pika.connect(broker.url)
    channel = await connection.channel()

    exchange = await channel.declare_exchange("spacehub.events", aio_pika.ExchangeType.TOPIC, durable=True)

    assert exchange.name == EVENTS_EXCHANGE
    await connection.close()


async def test_event_that_no_queue_is_bound_for_reaches_the_inbox(
    laid: Mapping[str, Any], broker: Broker, publisher: Publisher
) -> None:
    unheard_of = Outgoing(exchange=EVENTS_EXCHANGE, routing_key="rent.raised", body=b"{}", message_id="m-1")

    async def takes_it() -> bool:
        return await publisher.publish([unheard_of]) == [Confirm.ACKED]

    await eventually(takes_it)

    [message] = await broker.take("inbox-api.standard")
    assert message.header.properties.message_id == "m-1"


async def test_event_goes_to_each_queue_bound_for_it(
    laid: Mapping[str, Any], broker: Broker, publisher: Publisher
) -> None:
    deleted = Outgoing(exchange=EVENTS_EXCHANGE, routing_key="user.deleted", body=b"{}", message_id="m-1")

    confirms = await publisher.publish([deleted])

    bound = {work.name for work in WORK_QUEUES if "user.deleted" in work.keys}
    reached = {work.name for work in WORK_QUEUES if await broker.take(work.name)}
    assert confirms == [Confirm.ACKED]
    assert reached == bound
    assert len(bound) > 1


async def test_deleted_queue_comes_back_with_its_bindings(
    laid: Mapping[str, Any], broker: Broker, publisher: Publisher
) -> None:
    otp = Outgoing(exchange=EVENTS_EXCHANGE, routing_key="otp.requested", body=b"{}", message_id="m-1")
    await broker.channel.queue_delete("inbox-api.critical")
    await broker.channel.queue_delete("inbox-api.critical.dead")

    async with kept(broker):
        await eventually(lambda: exists(broker, "inbox-api.critical.dead"))
        await eventually(lambda: exists(broker, "inbox-api.critical"))
        await eventually(lambda: _reaches(broker, publisher, otp, "inbox-api.critical"))


async def test_deleted_binding_comes_back(laid: Mapping[str, Any], broker: Broker, publisher: Publisher) -> None:
    otp = Outgoing(exchange=EVENTS_EXCHANGE, routing_key="otp.requested", body=b"{}", message_id="m-1")
    await broker.channel.queue_unbind("inbox-api.critical", EVENTS_EXCHANGE, "otp.requested")

    async with kept(broker):
        await eventually(lambda: _reaches(broker, publisher, otp, "inbox-api.critical"))


async def test_deleted_exchange_comes_back_with_what_catches_the_unrouted(
    laid: Mapping[str, Any], broker: Broker, publisher: Publisher
) -> None:
    unheard_of = Outgoing(exchange=EVENTS_EXCHANGE, routing_key="rent.raised", body=b"{}", message_id="m-1")
    await broker.channel.exchange_delete(EVENTS_EXCHANGE)
    await broker.channel.exchange_delete(topology.UNROUTED_EXCHANGE)

    async with kept(broker):
        await eventually(lambda: _reaches(broker, publisher, unheard_of, "inbox-api.standard"))


async def test_keeper_goes_on_after_the_broker_was_away(vhost: Vhost) -> None:
    stopping = asyncio.Event()

    async with proxy_to(vhost.amqp_url) as proxy, broker_at(vhost.amqp_url, vhost.management_url) as hand:
        proxy.block()
        keeper = asyncio.ensure_future(keep(proxy.url, None)(stopping))
        await _first_attempt_fails(proxy)
        await eventually(lambda: exists(hand, WORK_QUEUES[-1].dead))
        stopping.set()
        await keeper


async def test_keeper_is_ready_when_all_of_it_is_there_and_not_while_the_broker_is_away(vhost: Vhost) -> None:
    stopping, kept = asyncio.Event(), Kept()

    async with proxy_to(vhost.amqp_url) as proxy:
        keeper = asyncio.ensure_future(keep(proxy.url, None, kept)(stopping))
        before = await kept.answers()
        await eventually(kept.answers)
        proxy.block()
        await proxy.cut()
        await eventually(lambda: not kept.whole)
        stopping.set()
        await keeper

    assert before is False


async def test_applying_waits_for_a_broker_that_is_still_starting(vhost: Vhost) -> None:
    async with proxy_to(vhost.amqp_url) as proxy, broker_at(vhost.amqp_url, vhost.management_url) as hand:
        proxy.block()
        applying = asyncio.ensure_future(run("topology", "apply", "--amqp-url", proxy.url))
        await _first_attempt_fails(proxy)
        result = await applying

        assert result.exit_code == 0, result.output
        assert await exists(hand, "inbox-api.critical")


@pytest.mark.parametrize(
    ("name", "other", "told"),
    [
        ("inbox-api.standard", {"x-single-active-consumer": None}, "x-single-active-consumer = none"),
        ("inbox-api.critical", {"x-single-active-consumer": True}, "x-single-active-consumer = true"),
        ("inbox-api.critical.dead", {"x-message-ttl": 1000}, "x-message-ttl = 1000"),
    ],
)
async def test_queue_that_exists_otherwise_is_told_and_left_alone(
    vhost: Vhost, name: str, other: Mapping[str, Any], told: str
) -> None:
    right = arguments(name)
    async with broker_at(vhost.amqp_url, vhost.management_url) as hand:
        await hand.channel.queue_declare(name, durable=True, arguments=without_none({**right, **other}))
        await hand.put(name, b"{}")

        result = await run("topology", "apply", "--amqp-url", vhost.amqp_url)

        [argument] = other
        assert result.exit_code == 1
        assert f"queue {name} exists with {told}, and it should be {str(right.get(argument, 'none')).lower()}.\n" in (
            result.output
        )
        assert "remove .run/rabbitmq" in result.output
        assert "docs/operations.md" in result.output
        assert await hand.count(name) == 1


async def test_exchange_that_exists_otherwise_is_told(vhost: Vhost) -> None:
    async with broker_at(vhost.amqp_url, vhost.management_url) as hand:
        await hand.channel.exchange_declare(EVENTS_EXCHANGE, exchange_type="fanout", durable=True)

        result = await run("topology", "apply", "--amqp-url", vhost.amqp_url)

    assert "exchange spacehub.events exists with type = fanout, and it should be topic." in result.output


async def test_keeper_makes_a_queue_anew_once_the_one_with_other_arguments_is_gone(vhost: Vhost) -> None:
    stopping, kept = asyncio.Event(), Kept()

    async with broker_at(vhost.amqp_url, vhost.management_url) as hand:
        await hand.channel.queue_declare(AUDIT, durable=True, arguments={**arguments(AUDIT), "x-max-length": 7})
        with capture_logs() as lines:
            keeper = asyncio.ensure_future(keep(vhost.amqp_url, None, kept)(stopping))
            await eventually(lambda: bool(lines))
            before = await kept.answers()
            await hand.channel.queue_delete(AUDIT)
            await eventually(kept.answers)
            stopping.set()
            await keeper

    assert before is False
    assert lines[0]["event"] == "topology_not_kept"
    assert "queue spacehub.audit exists with x-max-length = 7" in lines[0]["reason"]


def arguments(name: str) -> dict[str, Any]:
    """What the queue is declared with."""
    [queue] = [queue for queue in topology.queues() if queue.name == name]
    return {"x-queue-type": "quorum", **queue.arguments}


def without_none(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if value is not None}


async def _reaches(broker: Broker, publisher: Publisher, message: Outgoing, queue: str) -> bool:
    await publisher.publish([message])
    return bool(await broker.take(queue))


async def _first_attempt_fails(proxy: Proxy) -> None:
    await eventually(lambda: proxy.connections == 1)
    await proxy.cut()
    proxy.unblock()
