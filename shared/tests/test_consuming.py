"""Each message comes to its end: acked, waiting in a tier, or dead; nothing else is held up by it."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
import structlog
from prometheus_client import REGISTRY
from spacehub.consuming.subscription import one_by_one
from spacehub.errors import Away, NotNow, PermanentFailure, TemporaryFailure
from spacehub.events.envelope import Event, write
from spacehub.events.facts import BillCancelled
from spacehub.rabbit import Publisher
from spacehub.testing.broker import Broker, headers_of, ids_of
from spacehub.testing.subscribed import Handled, at_work, put_events
from spacehub.testing.waiting import eventually

BODY = b'{"specversion": "1.0", "id": "e-1"'


async def test_return_is_the_ack(broker: Broker, publisher: Publisher) -> None:
    queue, handled = await broker.work_queue(), Handled()
    await put_events(broker, queue, "e-1", "e-2")

    async with at_work(queue, one_by_one(handled), url=broker.url, publisher=publisher):
        await eventually(lambda: len(handled.ids) == 2)

    assert handled.ids == ["e-1", "e-2"]
    for name in (queue.name, queue.dead, queue.parking, *map(queue.tier, queue.tiers)):
        assert await broker.count(name) == 0


@pytest.mark.parametrize(("attempts", "tier"), [(0, "5s"), (1, "30s"), (2, "2m"), (3, "10m"), (4, "1h")])
async def test_temporary_failure_waits_in_its_tier_unchanged(
    broker: Broker, publisher: Publisher, attempts: int, tier: str
) -> None:
    queue, handled = await broker.work_queue(), Handled(**{"e-1": TemporaryFailure("busy")})
    await put_events(broker, queue, "e-1", **({"x-attempts": attempts} if attempts else {}), colour="blue")

    async with at_work(queue, one_by_one(handled), url=broker.url, publisher=publisher):
        await broker.holds(queue.tier(tier))

    [message] = await broker.take(queue.tier(tier))
    assert headers_of(message) == {"x-attempts": attempts + 1, "colour": "blue"}
    assert message.header.properties.message_id == "e-1"
    assert b'"e-1"' in message.body
    assert await broker.count(queue.name) == 0


async def test_message_comes_back_from_its_tiers_until_it_is_done(broker: Broker, publisher: Publisher) -> None:
    soon = timedelta(milliseconds=20)
    queue = await broker.work_queue(tiers={"soon": soon, "later": 2 * soon})
    seen: list[str] = []

    async def handle(event: Event) -> None:
        seen.append(event.id)
        if len(seen) < 3:
            raise TemporaryFailure("busy")

    await put_events(broker, queue, "e-1")
    async with at_work(queue, one_by_one(handle), url=broker.url, publisher=publisher):
        await eventually(lambda: len(seen) == 3)

    assert await broker.count(queue.name) == await broker.count(queue.dead) == 0


async def test_broker_s_own_headers_are_not_repeated(broker: Broker, publisher: Publisher) -> None:
    queue = await broker.work_queue(tiers={"soon": timedelta(milliseconds=20)})
    handled = Handled(**{"e-1": TemporaryFailure("busy")})
    await put_events(broker, queue, "e-1")

    async with at_work(queue, one_by_one(handled), url=broker.url, publisher=publisher):
        await broker.holds(queue.dead)

    [letter] = await broker.take(queue.dead)
    assert handled.ids == ["e-1", "e-1"]
    assert set(headers_of(letter)) == {"x-reason", "x-attempts", "x-failed-at", "x-origin-queue"}


@pytest.mark.parametrize("attempts", ["3", -1, None, 2.5, "many"])
async def test_strange_count_of_attempts_counts_as_none(broker: Broker, publisher: Publisher, attempts: Any) -> None:
    queue, handled = await broker.work_queue(), Handled(**{"e-1": TemporaryFailure("busy")})
    await put_events(broker, queue, "e-1", **{"x-attempts": attempts})

    async with at_work(queue, one_by_one(handled), url=broker.url, publisher=publisher):
        await broker.holds(queue.tier("5s"))

    [message] = await broker.take(queue.tier("5s"))
    assert headers_of(message) == {"x-attempts": 1}


async def test_not_now_uses_no_attempt_up(broker: Broker, publisher: Publisher) -> None:
    fault = NotNow("lease held", retry_in=timedelta(seconds=40))
    queue, handled = await broker.work_queue(), Handled(**{"e-1": fault})
    await put_events(broker, queue, "e-1", **{"x-attempts": 4})

    async with at_work(queue, one_by_one(handled), url=broker.url, publisher=publisher):
        await broker.holds(queue.tier("30s"))

    [message] = await broker.take(queue.tier("30s"))
    assert headers_of(message) == {"x-attempts": 4}


async def test_message_that_ends_soon_waits_in_a_short_tier(broker: Broker, publisher: Publisher) -> None:
    fault = TemporaryFailure("busy", not_after=datetime.now(UTC) + timedelta(seconds=100))
    queue, handled = await broker.work_queue(), Handled(**{"e-1": fault})
    await put_events(broker, queue, "e-1", **{"x-attempts": 4})

    async with at_work(queue, one_by_one(handled), url=broker.url, publisher=publisher):
        await broker.holds(queue.tier("30s"))

    assert await broker.count(queue.tier("1h")) == 0


async def test_permanent_failure_becomes_a_dead_letter_that_tells_all(broker: Broker, publisher: Publisher) -> None:
    queue, handled = await broker.work_queue(), Handled(**{"e-1": PermanentFailure("no_such_bill")})
    await put_events(broker, queue, "e-1", **{"x-attempts": 2})

    async with at_work(queue, one_by_one(handled), url=broker.url, publisher=publisher):
        await broker.holds(queue.dead)

    [letter] = await broker.take(queue.dead)
    told = headers_of(letter)
    assert (told["x-reason"], told["x-attempts"], told["x-origin-queue"]) == ("no_such_bill", 3, queue.name)
    assert abs(datetime.now(UTC) - datetime.fromisoformat(told["x-failed-at"])) < timedelta(minutes=5)


async def test_dead_letter_keeps_its_body_and_properties(broker: Broker, publisher: Publisher) -> None:
    queue, timestamp = await broker.work_queue(), datetime(2026, 11, 23, 1, tzinfo=UTC)
    kept: dict[str, Any] = {
        "message_id": "m-1",
        "content_type": "text/plain",
        "content_encoding": "utf-8",
        "correlation_id": "c-1",
        "reply_to": "answers",
        "message_type": "bill",
        "app_id": "billing",
        "priority": 3,
        "timestamp": timestamp,
    }
    changed: dict[str, Any] = {"expiration": "3600000", "user_id": urlsplit(broker.url).username}
    await broker.put(queue.name, BODY, headers={"colour": "blue"}, **changed, **kept)

    async with at_work(queue, one_by_one(Handled()), url=broker.url, publisher=publisher):
        await broker.holds(queue.dead)

    [letter] = await broker.take(queue.dead)
    properties = letter.header.properties
    assert letter.body == BODY
    assert {name: getattr(properties, name) for name in kept} == kept
    assert headers_of(letter)["colour"] == "blue"
    assert (properties.expiration, properties.user_id, properties.delivery_mode) == (None, None, 2)


async def test_unreadable_message_dies_without_reaching_the_handler(broker: Broker, publisher: Publisher) -> None:
    queue, handled = await broker.work_queue(), Handled()
    await broker.put(queue.name, BODY)
    await put_events(broker, queue, "e-1")

    async with at_work(queue, one_by_one(handled), url=broker.url, publisher=publisher):
        await eventually(lambda: handled.ids == ["e-1"])
        await broker.holds(queue.dead)

    [letter] = await broker.take(queue.dead)
    assert headers_of(letter)["x-reason"] == "not_json: the body is not JSON"
    assert headers_of(letter)["x-attempts"] == 1


async def test_body_of_five_megabytes_dies_whole(broker: Broker, publisher: Publisher) -> None:
    queue, body = await broker.work_queue(), b"[" + b" " * 5_000_000 + b"]"
    await broker.put(queue.name, body)

    async with at_work(queue, one_by_one(Handled()), url=broker.url, publisher=publisher):
        await broker.holds(queue.dead)

    [letter] = await broker.take(queue.dead)
    assert letter.body == body
    assert headers_of(letter)["x-reason"].startswith("too_large: ")


async def test_what_nobody_foresaw_is_logged_once_and_retried(broker: Broker, publisher: Publisher) -> None:
    queue, handled = await broker.work_queue(), Handled(**{"e-1": KeyError("nobody foresaw")})
    await put_events(broker, queue, "e-1")

    with structlog.testing.capture_logs() as logs:
        async with at_work(queue, one_by_one(handled), url=broker.url, publisher=publisher):
            await broker.holds(queue.tier("5s"))

    [told] = [line for line in logs if line["log_level"] == "error"]
    assert (told["event"], told["event_id"]) == ("handler_failed", "e-1")
    assert isinstance(told["exc_info"], KeyError)
    [message] = await broker.take(queue.tier("5s"))
    assert headers_of(message) == {"x-attempts": 1}


async def test_foreseen_failures_leave_no_traceback_in_the_log(broker: Broker, publisher: Publisher) -> None:
    conduct = {"e-1": TemporaryFailure("busy"), "e-2": PermanentFailure("never")}
    queue, handled = await broker.work_queue(), Handled(**conduct)
    await put_events(broker, queue, "e-1", "e-2")

    with structlog.testing.capture_logs() as logs:
        async with at_work(queue, one_by_one(handled), url=broker.url, publisher=publisher):
            await broker.holds(queue.tier("5s"))
            await broker.holds(queue.dead)

    assert not [line for line in logs if line["log_level"] == "error" or "exc_info" in line]


async def test_cancellation_by_a_library_is_a_failure_like_another(broker: Broker, publisher: Publisher) -> None:
    async def stray() -> None:
        raise asyncio.CancelledError

    queue, handled = await broker.work_queue(), Handled(**{"e-1": stray})
    await put_events(broker, queue, "e-1", "e-2")

    async with at_work(queue, one_by_one(handled), url=broker.url, publisher=publisher):
        await broker.holds(queue.tier("5s"))
        await eventually(lambda: handled.ids == ["e-1", "e-2"])

    [message] = await broker.take(queue.tier("5s"))
    assert headers_of(message) == {"x-attempts": 1}


async def test_used_up_retries_are_told_before_the_message_dies(broker: Broker, publisher: Publisher) -> None:
    queue, handled = await broker.work_queue(), Handled(**{"e-1": TemporaryFailure("busy")})
    told: list[tuple[str, str, int]] = []

    async def exhausted(event: Event, reason: str) -> None:
        told.append((event.id, reason, await broker.count(queue.dead)))

    await put_events(broker, queue, "e-1", **{"x-attempts": 5})
    async with at_work(queue, one_by_one(handled), url=broker.url, publisher=publisher, exhausted=exhausted):
        await broker.holds(queue.dead)

    [letter] = await broker.take(queue.dead)
    assert told == [("e-1", "retries_exhausted: busy", 0)]
    assert headers_of(letter)["x-reason"] == "retries_exhausted: busy"
    assert headers_of(letter)["x-attempts"] == 6


async def test_what_could_never_work_is_not_told_as_used_up(broker: Broker, publisher: Publisher) -> None:
    queue, handled = await broker.work_queue(), Handled(**{"e-1": PermanentFailure("never")})
    told = Handled()

    async def exhausted(event: Event, _: str) -> None:
        await told(event)

    await put_events(broker, queue, "e-1", **{"x-attempts": 9})
    async with at_work(queue, one_by_one(handled), url=broker.url, publisher=publisher, exhausted=exhausted):
        await broker.holds(queue.dead)

    assert told.ids == []


async def test_failing_hook_holds_nothing_up(broker: Broker, publisher: Publisher) -> None:
    queue, handled = await broker.work_queue(), Handled(**{"e-1": TemporaryFailure("busy")})

    async def exhausted(event: Event, reason: str) -> None:
        raise TemporaryFailure("cannot be recorded")

    await put_events(broker, queue, "e-1", **{"x-attempts": 5})
    await put_events(broker, queue, "e-2")
    with structlog.testing.capture_logs() as logs:
        async with at_work(queue, one_by_one(handled), url=broker.url, publisher=publisher, exhausted=exhausted):
            await broker.holds(queue.dead)
            await eventually(lambda: handled.ids == ["e-1", "e-2"])

    assert [line["event_id"] for line in logs if line["event"] == "exhausted_failed"] == ["e-1"]


async def test_hook_waits_for_what_is_away(broker: Broker, publisher: Publisher) -> None:
    queue, handled = await broker.work_queue(), Handled(**{"e-1": TemporaryFailure("busy")})
    calls: list[str] = []

    async def exhausted(event: Event, reason: str) -> None:
        calls.append(event.id)
        if len(calls) < 3:
            raise Away("postgresql: away")

    await put_events(broker, queue, "e-1", **{"x-attempts": 5})
    async with at_work(queue, one_by_one(handled), url=broker.url, publisher=publisher, exhausted=exhausted):
        await broker.holds(queue.dead)

    assert calls == ["e-1"] * 3
    assert handled.ids == ["e-1"]


async def test_what_is_away_pauses_and_uses_nothing_up(broker: Broker, publisher: Publisher) -> None:
    queue, away = await broker.work_queue(), [Away("postgresql: away")] * 2

    async def need_it() -> None:
        if away:
            raise away.pop()

    def paused() -> float | None:
        return REGISTRY.get_sample_value("spacehub_subscription_paused", {"queue": queue.name})

    handled = Handled(**{"e-1": need_it})
    await put_events(broker, queue, "e-1", "e-2")
    async with at_work(queue, one_by_one(handled), url=broker.url, publisher=publisher):
        await eventually(lambda: paused() == 1)
        await eventually(lambda: handled.ids == ["e-1", "e-1", "e-1", "e-2"])
        await eventually(lambda: paused() == 0)

    for name in (queue.name, queue.dead, *map(queue.tier, queue.tiers)):
        assert await broker.count(name) == 0


async def test_what_is_away_for_long_waits_in_a_tier_and_uses_nothing_up(broker: Broker, publisher: Publisher) -> None:
    queue = await broker.work_queue()

    async def away(events: Sequence[Event]) -> None:
        raise Away("postgresql: away")

    await put_events(broker, queue, "e-1", "e-2", **{"x-attempts": 2})
    async with at_work(queue, away, url=broker.url, publisher=publisher, batch=2, hold=timedelta(seconds=0.3)):
        await broker.holds(queue.tier("10m"), 2)

    waiting = await broker.take(queue.tier("10m"))
    assert [headers_of(message)["x-attempts"] for message in waiting] == [2, 2]
    assert await broker.count(queue.dead) == 0


async def test_message_in_a_pause_is_given_back_at_the_end(broker: Broker, publisher: Publisher) -> None:
    queue, handled = await broker.work_queue(), Handled(**{"e-1": Away("postgresql: away")})
    await put_events(broker, queue, "e-1")

    async with at_work(queue, one_by_one(handled), url=broker.url, publisher=publisher):
        await eventually(lambda: handled.ids)

    await broker.holds(queue.name, 1)
    [message] = await broker.take(queue.name)
    assert headers_of(message) == {}


async def test_message_waits_when_it_cannot_be_moved_on(broker: Broker, publisher: Publisher) -> None:
    queue, handled = await broker.work_queue(), Handled(**{"e-1": TemporaryFailure("busy")})
    await broker.channel.queue_delete(queue.tier("5s"))
    await put_events(broker, queue, "e-1")

    with structlog.testing.capture_logs() as logs:
        async with at_work(queue, one_by_one(handled), url=broker.url, publisher=publisher):
            await eventually(lambda: [line for line in logs if line["event"] == "paused"])
            await broker.declare(queue)
            await broker.holds(queue.tier("5s"))

    assert handled.ids == ["e-1"]
    assert await broker.count(queue.name) == 0


async def test_message_that_cannot_be_moved_on_is_still_there_when_we_end(broker: Broker, publisher: Publisher) -> None:
    conduct = {"e-1": TemporaryFailure("busy"), "e-2": PermanentFailure("never")}
    queue, handled = await broker.work_queue(), Handled(**conduct)
    for gone in (queue.tier("5s"), queue.dead):
        await broker.channel.queue_delete(gone)
    await put_events(broker, queue, "e-1", "e-2")

    async with at_work(queue, one_by_one(handled), url=broker.url, publisher=publisher, workers=2):
        await eventually(lambda: sorted(handled.ids) == ["e-1", "e-2"])

    await broker.holds(queue.name, 2)
    assert sorted(filter(None, ids_of(await broker.take(queue.name)))) == ["e-1", "e-2"]


async def test_how_late_a_message_is_taken_up_is_measured_once(broker: Broker, publisher: Publisher) -> None:
    queue = await broker.work_queue()
    handled = Handled(old=TemporaryFailure("not yet"))

    def measured(part: str) -> float:
        return REGISTRY.get_sample_value(f"spacehub_message_lag_seconds_{part}", {"queue": queue.name}) or 0

    hour = write(Event("old", "/billing", BillCancelled(bill_id="A-1"), time=datetime.now(UTC) - timedelta(hours=1)))
    for attempts in (0, 1):
        headers = {"x-attempts": attempts} if attempts else {}
        await broker.put(queue.name, hour.body, message_id="old", content_type=hour.content_type, headers=headers)
    async with at_work(queue, one_by_one(handled), url=broker.url, publisher=publisher):
        await eventually(lambda: len(handled.ids) == 2)

    assert measured("count") == 1
    assert 3600 <= measured("sum") < 3900
