"""What a user may not say stops nobody else, and what it says all the same is not believed."""

import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import pytest
from prometheus_client import REGISTRY
from spacehub import management, outbox, permissions
from spacehub.confirming import Confirm, Outgoing
from spacehub.consuming import letters
from spacehub.consuming.subscription import one_by_one
from spacehub.events.catalogue import EVENTS_EXCHANGE
from spacehub.forwarder import Forwarded, forward
from spacehub.outbox import OutboxRow
from spacehub.rabbit import Publisher
from spacehub.testing.broker import Broker, lay
from spacehub.testing.subscribed import Handled, at_work
from spacehub.testing.waiting import eventually
from spacehub.topology import BY_NAME
from spacehub_dev.provisioning.fresh import Vhost, drop_users

STRUCTURED = "application/cloudevents+json"
OTP = {"phone": "99112233", "code": "482913"}


@pytest.fixture(scope="module")
async def laid(broker: Broker) -> Broker:
    await lay(broker.url)
    return broker


@pytest.fixture(scope="module")
async def sms_sender(laid: Broker, module_vhost: Vhost) -> AsyncIterator[Publisher]:
    """A publisher that may do what sms-sender may."""
    prefix = f"test-{uuid4().hex[:8]}-"
    [user] = [user for user in permissions.users() if user.name == "sms-sender"]
    await management.make_users(
        module_vhost.management_url, [user], {user.name: "secret"}, vhost=module_vhost.name, prefix=prefix
    )
    parts = urlsplit(module_vhost.amqp_url)
    login = f"{prefix}sms-sender:secret@{parts.netloc.rpartition('@')[2]}"
    publisher = Publisher(urlunsplit(parts._replace(netloc=login)), name="test: sms-sender")
    yield publisher
    await publisher.close()
    await drop_users(module_vhost.management_url, prefix)


def outgoing(key: str, message_id: str = "", *, exchange: str = EVENTS_EXCHANGE) -> Outgoing:
    return Outgoing(exchange, key, b"{}", message_id or uuid4().hex)


def event(kind: str, data: Any) -> bytes:
    named = {"specversion": "1.0", "id": uuid4().hex, "source": "/billing", "type": f"mn.spacehub.{kind}", "data": data}
    return json.dumps(named).encode()


async def test_forbidden_message_is_refused_and_the_others_are_published(sms_sender: Publisher) -> None:
    mixed = [
        outgoing("sms.sent"),
        outgoing("bill.issued"),
        outgoing("sms.failed"),
        outgoing("inbox-api.standard", exchange=""),
        outgoing("inbox-api.standard", exchange="inbox-api.moves"),
        outgoing("sms-sender.standard.retry.5s", exchange="sms-sender.moves"),
    ]

    confirms = await sms_sender.publish(mixed)
    after = await sms_sender.publish([outgoing("sms.sent")])

    acked, refused = Confirm.ACKED, Confirm.REFUSED
    assert confirms == [acked, refused, acked, refused, refused, acked]
    assert after == [acked]


async def test_forbidden_row_is_kept_and_counted_while_the_others_go_on(sms_sender: Publisher, connection: Any) -> None:
    rows = [OutboxRow(message_id=key, exchange=EVENTS_EXCHANGE, routing_key=key, body=b"{}") for key in KEYS]
    await outbox.write(connection, rows)
    counted = ("spacehub_outbox_forwarded_total", {"lane": "standard", "confirm": "refused"})
    before = REGISTRY.get_sample_value(*counted) or 0

    first = await forward(connection, lane="standard", publisher=sms_sender)
    second = await forward(connection, lane="standard", publisher=sms_sender)

    left = [row["message_id"] for row in await connection.fetch("SELECT message_id FROM outbox")]
    assert first == Forwarded(taken=4, acked=3, returned=0, refused=1)
    assert second == Forwarded(0, 0, 0, 0), "it stands aside for a while"
    assert left == ["bill.issued"]
    assert (REGISTRY.get_sample_value(*counted) or 0) - before == 1


KEYS = ("sms.sent", "bill.issued", "sms.failed", "sms.unknown")


@pytest.mark.parametrize(
    ("key", "headers"),
    [("bill.cancelled", {}), ("sms.sent", {"CC": ["otp.requested"]}), ("sms.sent", {"BCC": ["otp.requested"]})],
    ids=["another type in the body", "a copy by CC", "a copy by BCC"],
)
async def test_code_under_the_routing_key_of_another_type_is_not_believed(
    laid: Broker, publisher: Publisher, key: str, headers: dict[str, Any]
) -> None:
    queue = BY_NAME["inbox-api.critical" if headers else "inbox-api.standard"]
    handler = Handled()

    async with at_work(queue, one_by_one(handler), url=laid.url, publisher=publisher):
        smuggled = Outgoing(EVENTS_EXCHANGE, key, event("otp.requested", OTP), "1", STRUCTURED, headers)
        await publisher.publish([smuggled])
        await laid.holds(queue.dead)

    [letter] = await laid.take(queue.dead)
    reason = letters.headers_of(letter)[letters.REASON]
    assert str(reason).startswith("wrong_key")
    assert handler.ids == []


@pytest.mark.parametrize("key", ["notification.requested", "notification.requested.critical"])
async def test_notification_is_believed_under_both_of_its_keys(laid: Broker, publisher: Publisher, key: str) -> None:
    queue = BY_NAME["inbox-api.critical" if key.endswith("critical") else "inbox-api.standard"]
    handler = Handled()
    recipients = [{"user_id": str(uuid4())}]
    asked = {"recipients": recipients, "title": "t", "body": "b", "channels": ["inbox"], "critical": True}

    async with at_work(queue, one_by_one(handler), url=laid.url, publisher=publisher):
        await publisher.publish(
            [Outgoing(EVENTS_EXCHANGE, key, event("notification.requested", asked), "1", STRUCTURED)]
        )
        await eventually(lambda: len(handler.ids) == 1)
