"""How each message comes to its end: handled and acked, waiting in a retry tier, or dead.

The handler's return is the ack. A TemporaryFailure sends the message to a retry tier, a PermanentFailure to the dead
letters, Away pauses (the message is kept and tried again, nothing is used up), anything unexpected is logged once and
retried. What moves on is published with a confirm before the original is acked: a crash may repeat it, never lose it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from time import perf_counter, time
from typing import Protocol

import structlog
from aiormq.abc import DeliveredMessage
from prometheus_client import Counter, Gauge, Histogram

from spacehub.confirming import Confirm, Outgoing
from spacehub.consuming import letters
from spacehub.consuming.fates import Dead, Retry, fate_of
from spacehub.consuming.handing_back import HandedBack, Unfinished, handed_back
from spacehub.errors import Away, NotNow, Unreadable
from spacehub.events import envelope
from spacehub.events.catalogue import DELIVERIES_EXCHANGE, EVENTS_EXCHANGE
from spacehub.events.cause import Cause, because_of
from spacehub.events.envelope import Event
from spacehub.rabbit import Publisher
from spacehub.running import Backoff, being_cancelled
from spacehub.topology import WorkQueue
from spacehub.tracing import spans
from spacehub.tracing.spans import EventSpan

log = structlog.get_logger()

_HANDLED = Counter("spacehub_messages_handled", "Messages handled, by what became of them", ["queue", "fate"])
_SECONDS = Histogram(
    "spacehub_handling_seconds",
    "Time a handler took for a message or a batch",
    ["queue"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
_LAG = Histogram(
    "spacehub_message_lag_seconds",
    "Time from when a message was due (its event's, unless it was put off) until it was first taken from the queue",
    ["queue"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300, 900, 3600, 14400),
)
_PAUSED = Gauge("spacehub_subscription_paused", "1 while the subscription waits for something that is away", ["queue"])

Handler = Callable[[Sequence[Event]], Awaitable[None]]
Exhausted = Callable[[Event, str], Awaitable[None]]


HOLD = timedelta(minutes=15)
"""How long a message is held while something is away. RabbitMQ takes back what is not acked within half an hour, and
each time counts towards the delivery limit, so what is held longer waits in a tier instead."""


class AwayForLong(NotNow):
    """What the handler needs has been away for so long that the message waits in a tier; nothing is used up."""


class GivenBack(Exception):
    """The session ends while something is away: the broker delivers the message again to whoever comes next."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A message that could be read, as its handler sees it: `event` carries on the trace of its `span`."""

    message: DeliveredMessage
    event: Event
    span: EventSpan | None

    @property
    def cause(self) -> Cause:
        """What is written and logged on its account."""
        event = self.event
        return Cause(event.id, event.traceparent, getattr(event.data, "source_id", None))


class Acking(Protocol):
    """The part of a session that settling needs."""

    @property
    def is_lost(self) -> bool: ...
    async def ack(self, message: DeliveredMessage) -> None: ...


async def settle(
    messages: Sequence[DeliveredMessage],
    *,
    queue: WorkQueue,
    handle: Handler,
    exhausted: Exhausted | None,
    session: Acking,
    publisher: Publisher,
    stopping: asyncio.Event,
    hold: timedelta = HOLD,
) -> None:
    """Bring every message to its end. Raises GivenBack when the session ends first."""

    async def attempt(taken: Sequence[Taken]) -> Exception | None:
        events = [each.event for each in taken]
        started = perf_counter()

        async def not_for_ever() -> None:
            try:
                await handle(events)
            except Away as away:
                if perf_counter() - started < hold.total_seconds():
                    raise
                raise Unfinished([HandedBack(event, _away_for_long(away)) for event in events]) from away

        at_hand = taken[0].cause if len(taken) == 1 else None
        try:
            with because_of(at_hand), spans.together([each.span for each in taken]):
                await patiently(not_for_ever)
        except GivenBack:
            raise
        except Exception as fault:
            return fault
        finally:
            _SECONDS.labels(queue.name).observe(perf_counter() - started)
        return None

    async def done(taken: Taken) -> None:
        _HANDLED.labels(queue.name, "done").inc()
        if taken.span is not None:
            taken.span.end("done")
        await session.ack(taken.message)

    async def failed(message: DeliveredMessage, back: HandedBack) -> Retry | Dead:
        attempts = letters.attempts_of(message)
        fate = fate_of(back.fault, attempts=attempts, now=datetime.now(UTC), tiers=queue.tiers)
        event = back.instead or back.event
        told = {"queue": queue.name, "event_id": event.id if event else None, "attempts": fate.attempts}
        instead = envelope.write(back.instead) if back.instead else None
        if fate.unforeseen:
            log.error("handler_failed", **told, exc_info=back.fault)
        if isinstance(fate, Dead):
            log.warning("dead_letter", **told, reason=fate.reason)
            if fate.exhausted and event is not None:
                await told_exhausted(event, fate.reason)
            moved = letters.to_dead(message, queue=queue, attempts=fate.attempts, reason=fate.reason, instead=instead)
        else:
            log.info("retry", **told, tier=fate.tier, reason=fate.reason)
            moved = letters.to_tier(message, queue=queue, tier=fate.tier, attempts=fate.attempts, instead=instead)
        await patiently(lambda: publish(moved, publisher=publisher))
        _HANDLED.labels(queue.name, _word_for(fate)).inc()
        await session.ack(message)
        return fate

    async def told_exhausted(event: Event, reason: str) -> None:
        if exhausted is None:
            return
        try:
            await patiently(lambda: exhausted(event, reason))
        except GivenBack:
            raise
        except Exception:  # its fault must not hold up the queue: the dead letter still tells of the message
            log.exception("exhausted_failed", queue=queue.name, event_id=event.id)

    async def patiently(step: Callable[[], Awaitable[None]]) -> None:
        backoff = Backoff(first=0.2)
        try:
            while True:
                try:
                    return await step()
                except Away as away:
                    _PAUSED.labels(queue.name).set(1)
                    log.warning("paused", queue=queue.name, reason=str(away))
                except asyncio.CancelledError as stray:
                    if being_cancelled():
                        raise
                    raise RuntimeError("cancelled by a library") from stray
                if stopping.is_set() or session.is_lost:
                    raise GivenBack
                await backoff.wait(stopping)
        finally:
            _PAUSED.labels(queue.name).set(0)

    readable: list[Taken] = []
    for message in messages:
        try:
            readable.append(_taken(message, queue=queue))
        except Unreadable as unreadable:
            await failed(message, HandedBack(None, unreadable))
    try:
        fault = await attempt(readable) if readable else None
        one_by_one = fault is not None and not isinstance(fault, Unfinished) and len(readable) > 1
        for taken in readable:
            back = handed_back(taken.event, await attempt([taken]) if one_by_one else fault)
            if back is None:
                await done(taken)
                continue
            with because_of(taken.cause), spans.together([taken.span]):
                fate = await failed(taken.message, back)
            if taken.span is not None:
                taken.span.end(_word_for(fate), fate.reason)
    finally:
        for taken in readable:
            if taken.span is not None:
                taken.span.end("given_back")


def _taken(message: DeliveredMessage, *, queue: WorkQueue) -> Taken:
    event = read(message)
    attempts = letters.attempts_of(message)
    if not attempts and (due_at := getattr(event.data, "due_at", None) or event.time) is not None:
        _LAG.labels(queue.name).observe(max(0.0, time() - due_at.timestamp()))
    span = spans.handling(event, queue=queue.name, attempts=attempts)
    return Taken(message, event if span is None else replace(event, traceparent=span.traceparent), span)


def _word_for(fate: Retry | Dead) -> str:
    return "dead" if isinstance(fate, Dead) else "retry"


def count_fate(queue: WorkQueue, fate: str) -> None:
    """Count a message of `queue` by what became of it."""
    _HANDLED.labels(queue.name, fate).inc()


def _away_for_long(away: Away) -> AwayForLong:
    return AwayForLong(f"away_for_long: {away}", retry_in=HOLD)


def read(message: DeliveredMessage) -> Event:
    """The event in a message. Raises Unreadable.

    Its routing key must be one of its type's: who may publish what is decided by the key, so another type in the body
    (or a copy that a `CC` header brought to another queue) would be said by somebody who may not say it.
    """
    properties = message.header.properties
    event = envelope.read(message.body, content_type=properties.content_type, headers=properties.headers or {})
    shared = message.exchange in (EVENTS_EXCHANGE, DELIVERIES_EXCHANGE)
    if shared and message.routing_key not in event.data.routing_keys():
        raise Unreadable("wrong_key: type: not a type that is published under this routing key")
    return event


async def publish(outgoing: Outgoing, *, publisher: Publisher) -> None:
    """Publish one message with a confirm. Raises Away unless the broker took it."""
    [confirm] = await publisher.publish([outgoing])
    if confirm is not Confirm.ACKED:
        raise Away(f"rabbitmq: {outgoing.routing_key} did not take a message: {confirm.value}")
