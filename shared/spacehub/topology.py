"""Every exchange, queue and binding there is, as data, and the one function that declares them.

The subset that RabbitMQ 3.10 and 4.x share: quorum queues with a delivery limit, dead-lettered at least once, one time
to live per retry tier. https://www.rabbitmq.com/docs/quorum-queues
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import aio_pika
import aiormq

from spacehub.events.catalogue import DELIVERIES_EXCHANGE, EVENTS_EXCHANGE

UNROUTED_EXCHANGE = "spacehub.unrouted"
"""Where the broker sends an event for which no queue is bound (a policy on `spacehub.events` names it as alternate)."""

AUDIT = "spacehub.audit"
"""Where it is written down who did what to dead letters: an exchange, and its one queue that nobody consumes."""
AUDIT_KEPT = 100_000
"""Notes; beyond them the oldest go."""

DELIVERY_LIMIT = 20
LOOKED_AT_OFTEN = 1_000_000
"""The limit of queues that people look into: 4.x would drop a letter after 20 looks."""

DEAD_LETTERS_KEPT = timedelta(days=30)

TIERS: Mapping[str, timedelta] = {
    "5s": timedelta(seconds=5),
    "30s": timedelta(seconds=30),
    "2m": timedelta(minutes=2),
    "10m": timedelta(minutes=10),
    "1h": timedelta(hours=1),
}
"""The retry tiers, shortest first: a queue each, because a queue with mixed times to live lets short ones wait."""


@dataclass(frozen=True, slots=True)
class WorkQueue:
    """A queue that a service consumes, with the routing keys bound to it; its tiers and dead letters go with it.

    `in_order`: the broker delivers to one consumer at a time, the others stand by to take over.
    """

    name: str
    keys: tuple[str, ...]
    exchange: str = EVENTS_EXCHANGE
    takes_unrouted: bool = False
    in_order: bool = False
    tiers: Mapping[str, timedelta] = field(default_factory=lambda: TIERS, hash=False)

    @property
    def service(self) -> str:
        """Whose queue it is."""
        return self.name.partition(".")[0]

    @property
    def moves(self) -> str:
        """The exchange by which its service moves a message on, to the queue that the routing key names.

        It leads to that service's queues and to no other's; the default exchange would lead to everybody's.
        """
        return f"{self.service}.moves"

    @property
    def dead(self) -> str:
        return f"{self.name}.dead"

    @property
    def parking(self) -> str:
        """Where the broker puts what it gave up on itself; the parker moves it on to `dead` with our headers."""
        return f"{self.name}.parking"

    def tier(self, name: str) -> str:
        return f"{self.name}.retry.{name}"


@dataclass(frozen=True, slots=True)
class Queue:
    """One queue as the broker knows it."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


WORK_QUEUES: tuple[WorkQueue, ...] = (
    WorkQueue("inbox-api.critical", ("otp.requested", "notification.requested.critical")),
    WorkQueue(
        "inbox-api.standard",
        (
            "bill.issued",
            "bill.cancelled",
            "bill.overdue",
            "payment.confirmed",
            "contract.signed",
            "contract.ended",
            "contract.expiring",
            "user.updated",
            "user.deleted",
            "notification.requested",
            "sms_budget.threshold_reached",
            "retention.due",
        ),
        takes_unrouted=True,
        in_order=True,
    ),
    WorkQueue(
        "inbox-api.outcomes",
        ("sms.sent", "sms.failed", "sms.expired", "sms.blocked", "sms.unknown", "push.sent", "push.failed"),
    ),
    WorkQueue("sms-sender.critical", ("sms.critical",), DELIVERIES_EXCHANGE),
    WorkQueue("sms-sender.standard", ("sms.standard",), DELIVERIES_EXCHANGE),
    WorkQueue(
        "sms-sender.facts",
        (
            "payment.confirmed",
            "bill.cancelled",
            "contract.signed",
            "contract.ended",
            "user.deleted",
            "sms_budget.set",
        ),
    ),
    WorkQueue("push-sender.critical", ("push.critical",), DELIVERIES_EXCHANGE),
    WorkQueue("push-sender.standard", ("push.standard",), DELIVERIES_EXCHANGE),
    WorkQueue("devices-api.events", ("device.died", "devices.prune_due", "user.deleted")),
    WorkQueue(
        "scheduler.facts",
        (
            "bill.issued",
            "bill.cancelled",
            "payment.confirmed",
            "contract.signed",
            "contract.ended",
            "user.deleted",
        ),
    ),
)

INEQUIVALENT = re.compile(
    r"inequivalent arg '(?P<argument>[^']+)' for (?P<what>queue|exchange) '(?P<name>[^']+)'.*: "
    r"received (?P<ours>.+) but current is (?P<theirs>.+)"
)
VALUE = re.compile(r"(?:the value )?'(?P<value>[^']*)'(?: of type '\w+')?")
"""How the broker writes a value; one that is absent is `none`."""


class OtherArguments(Exception):
    """A queue or an exchange of ours exists with other arguments. The broker changes none: it is deleted and made anew.

    The text names it and what differs: the broker tells the first difference it finds.
    """

    def __init__(self, reply: str) -> None:
        found = INEQUIVALENT.search(reply)
        super().__init__(_difference(found) if found else reply)


BY_NAME: Mapping[str, WorkQueue] = {queue.name: queue for queue in WORK_QUEUES}


def queues(works: Iterable[WorkQueue] = WORK_QUEUES) -> Iterator[Queue]:
    """Every queue, in an order in which a queue's dead-letter target exists before it."""
    yield Queue(AUDIT, {"x-delivery-limit": LOOKED_AT_OFTEN, "x-max-length": AUDIT_KEPT})
    for work in works:
        yield Queue(work.dead, {"x-message-ttl": _milliseconds(DEAD_LETTERS_KEPT), "x-delivery-limit": LOOKED_AT_OFTEN})
        yield Queue(work.parking, {"x-delivery-limit": LOOKED_AT_OFTEN})
        in_order = {"x-single-active-consumer": True} if work.in_order else {}
        yield Queue(work.name, {"x-delivery-limit": DELIVERY_LIMIT, **in_order, **_dead_lettered_to(work.parking)})
        for name, delay in work.tiers.items():
            yield Queue(work.tier(name), {"x-message-ttl": _milliseconds(delay), **_dead_lettered_to(work.name)})


def bindings(works: Iterable[WorkQueue] = WORK_QUEUES) -> Iterator[tuple[str, str, str]]:
    """Every binding as (exchange, queue, routing key)."""
    yield AUDIT, AUDIT, ""
    for work in works:
        for key in work.keys:
            yield work.exchange, work.name, key
        if work.takes_unrouted:
            yield UNROUTED_EXCHANGE, work.name, ""
        for queue in (work.name, work.dead, *map(work.tier, work.tiers)):
            yield work.moves, queue, queue


def exchanges(works: Iterable[WorkQueue] = WORK_QUEUES) -> Mapping[str, str]:
    """The type of every exchange, by name."""
    moves = {work.moves: "direct" for work in works}
    fanout = dict.fromkeys((UNROUTED_EXCHANGE, AUDIT), "fanout")
    return {EVENTS_EXCHANGE: "topic", DELIVERIES_EXCHANGE: "topic", **fanout, **moves}


async def declare(connection: aio_pika.abc.AbstractConnection, works: Sequence[WorkQueue] = WORK_QUEUES) -> None:
    """Make whatever is missing; what exists stays. Raises OtherArguments when something exists otherwise."""
    async with connection.channel() as channel:
        try:
            for name, kind in exchanges(works).items():
                await channel.declare_exchange(name, kind, durable=True)
            for queue in queues(works):
                arguments = {"x-queue-type": "quorum", **queue.arguments}
                await channel.declare_queue(queue.name, durable=True, arguments=arguments)
        except aiormq.exceptions.ChannelPreconditionFailed as conflict:
            raise OtherArguments(str(conflict)) from None
        underlay = await channel.get_underlay_channel()
        for exchange, queue_name, key in bindings(works):
            await underlay.queue_bind(queue_name, exchange, routing_key=key)


def _difference(found: re.Match[str]) -> str:
    ours, theirs = (VALUE.sub(r"\g<value>", found[whose]) for whose in ("ours", "theirs"))
    return f"{found['what']} {found['name']} exists with {found['argument']} = {theirs}, and it should be {ours}"


def _dead_lettered_to(queue: str) -> dict[str, Any]:
    # At-least-once dead-lettering needs both the strategy and `reject-publish`; without either it is at most once.
    return {
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": queue,
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }


def _milliseconds(duration: timedelta) -> int:
    return int(duration.total_seconds() * 1000)
