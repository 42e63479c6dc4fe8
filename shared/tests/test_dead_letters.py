"""Dead letters can be counted, looked at, sent back and thrown away; none is lost on the way, no secret is shown."""

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from spacehub import dead_letters
from spacehub.dead_letters import NoSuchQueue, Redriven
from spacehub.errors import Away
from spacehub.events.envelope import Event, write
from spacehub.events.facts import BillCancelled, Fact, OtpRequested
from spacehub.events.requests import SmsRequested
from spacehub.testing.broker import Broker, headers_of, ids_of
from spacehub.testing.programs import program
from spacehub.testing.proxy import proxy_to
from spacehub.testing.waiting import eventually
from spacehub.topology import WORK_QUEUES, WorkQueue

REDRIVE = Path(__file__).parent / "programs" / "redrive.py"
FAST = 10_000.0
PHONE, CODE = "99112233", "482913"
NOW = datetime.now(UTC)


def otp(**more: Any) -> OtpRequested:
    return OtpRequested(phone=PHONE, code=CODE, **more)


def sms(expires_at: datetime) -> SmsRequested:
    return SmsRequested(
        source="/billing",
        source_id="b-1",
        about="bill.issued",
        critical=False,
        sms_id=UUID(int=1),
        phone=PHONE,
        text="secret text",
        expires_at=expires_at,
    )


async def put_letter(
    broker: Broker,
    queue: WorkQueue,
    name: str,
    data: Fact | bytes | None = None,
    *,
    time: datetime | None = NOW,
    **more: Any,
) -> None:
    """A dead letter as our consumers write them."""
    told = {"x-reason": "busy", "x-attempts": 6, "x-failed-at": NOW.isoformat(), "x-origin-queue": queue.name, **more}
    event = data if isinstance(data, Fact) else BillCancelled(bill_id="A-1")
    body = data if isinstance(data, bytes) else write(Event(name, "/billing", event, time)).body
    headers = {key: value for key, value in told.items() if value is not None}
    await broker.put(queue.dead, body, message_id=name, content_type="application/cloudevents+json", headers=headers)


async def test_counts_name_every_dead_letter_queue(broker: Broker) -> None:
    await asyncio.gather(*(broker.declare(work) for work in WORK_QUEUES))
    await put_letter(broker, WORK_QUEUES[0], "m-1")
    await put_letter(broker, WORK_QUEUES[0], "m-2")

    counts = await dead_letters.counts(broker.url)

    assert counts == {work.dead: 2 if work is WORK_QUEUES[0] else 0 for work in WORK_QUEUES}


@pytest.mark.parametrize("name", ["sms-sender.critical", "sms-sender.critical.dead"])
def test_queue_is_found_with_and_without_dead(name: str) -> None:
    assert dead_letters.work_queue(name).name == "sms-sender.critical"


@pytest.mark.parametrize(
    "name", ["sms-sender", "", ".dead", "sms-sender.critical.dead.dead", "sms-sender.critical.retry.5s"]
)
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(NoSuchQueue):
        dead_letters.work_queue(name)


async def test_showing_tells_what_and_why_and_moves_nothing(broker: Broker) -> None:
    queue = await broker.work_queue()
    for name in ("m-1", "m-2", "m-3"):
        await put_letter(broker, queue, name)

    for _ in range(3):
        shown = await dead_letters.show(broker.url, queue, limit=2)
        await broker.holds(queue.dead, 3)

    assert [letter.id for letter in shown] == ["m-1", "m-2"]
    assert (shown[0].reason, shown[0].attempts, shown[0].origin) == ("busy", 6, queue.name)
    assert shown[0].failed_at == NOW.isoformat()
    assert '"bill_id": "A-1"' in shown[0].body


async def test_letter_without_our_headers_is_shown_too(broker: Broker) -> None:
    queue = await broker.work_queue()
    await broker.put(queue.dead, b"\xff\x1b[31m", message_id="m\x1b[31m-1")

    [letter] = await dead_letters.show(broker.url, queue, limit=9)

    assert (letter.id, letter.body) == ("m?[31m-1", "<6 bytes that are not JSON>")
    assert (letter.reason, letter.attempts, letter.failed_at, letter.origin) == ("", 0, "", "")


async def test_redriven_letter_comes_back_as_new(broker: Broker) -> None:
    queue = await broker.work_queue()
    await put_letter(broker, queue, "m-1", colour="blue")

    done = await dead_letters.redrive(broker.url, queue, per_second=FAST)

    [message] = await broker.take(queue.name)
    assert done == Redriven(sent=1, expired=0)
    assert headers_of(message) == {"colour": "blue"}
    assert message.header.properties.message_id == "m-1"
    assert b'"A-1"' in message.body
    assert await broker.count(queue.dead) == 0


@pytest.mark.parametrize(
    ("data", "time", "more"),
    [
        (otp(expires_in=60), NOW - timedelta(seconds=61), {}),
        (otp(), None, {"x-failed-at": (NOW - timedelta(days=3)).isoformat()}),
        (sms(NOW - timedelta(seconds=1)), NOW, {}),
        (otp(), datetime(1, 1, 1, tzinfo=UTC), {}),
    ],
    ids=["code", "code without a time", "sms", "code of the year 1"],
)
async def test_expired_letter_is_refused_and_stays(
    broker: Broker, data: Fact, time: datetime | None, more: dict[str, Any]
) -> None:
    queue = await broker.work_queue()
    await put_letter(broker, queue, "m-1", data, time=time, **more)

    done = await dead_letters.redrive(broker.url, queue, per_second=FAST)

    await broker.holds(queue.dead, 1)
    assert done == Redriven(sent=0, expired=1)
    assert await broker.count(queue.name) == 0


@pytest.mark.parametrize(
    ("data", "time", "more"),
    [
        (otp(), NOW, {}),
        (otp(), None, {}),
        (otp(), None, {"x-failed-at": "yesterday"}),
        (otp(), None, {"x-failed-at": None}),
        (otp(), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC), {}),
        (sms(NOW + timedelta(hours=1)), NOW, {}),
        (BillCancelled(bill_id="A-1"), NOW - timedelta(days=29), {}),
        (b"not an event", NOW, {}),
    ],
)
async def test_letter_that_is_not_known_to_have_expired_is_sent(
    broker: Broker, data: Fact | bytes, time: datetime | None, more: dict[str, Any]
) -> None:
    queue = await broker.work_queue()
    await put_letter(broker, queue, "m-1", data, time=time, **more)

    done = await dead_letters.redrive(broker.url, queue, per_second=FAST)

    assert done == Redriven(sent=1, expired=0)


async def test_request_that_was_withdrawn_is_refused_and_stays(broker: Broker) -> None:
    queue = await broker.work_queue()
    await put_letter(broker, queue, "withdrawn", sms(NOW + timedelta(hours=1)))
    await put_letter(broker, queue, "open", sms(NOW + timedelta(hours=1)))
    await put_letter(broker, queue, "unreadable", b"not an event")

    async def closed(event: Event) -> bool:
        return event.id == "withdrawn"

    done = await dead_letters.redrive(broker.url, queue, per_second=FAST, closed=closed)

    await broker.holds(queue.dead, 1)
    assert done == Redriven(sent=2, expired=0, withdrawn=1)
    assert ids_of(await broker.take(queue.dead)) == ["withdrawn"]


async def test_redrive_that_cannot_ask_what_was_withdrawn_stops_and_loses_nothing(broker: Broker) -> None:
    queue = await broker.work_queue()
    for name in ("m-1", "m-2"):
        await put_letter(broker, queue, name, sms(NOW + timedelta(hours=1)))

    async def closed(_: Event) -> bool:
        raise Away("inbox-api: ConnectError")

    with pytest.raises(Away, match="inbox-api"):
        await dead_letters.redrive(broker.url, queue, per_second=FAST, closed=closed)

    await broker.holds(queue.dead, 2)


async def test_dry_run_tells_what_it_would_do_and_moves_nothing(broker: Broker) -> None:
    queue = await broker.work_queue()
    await put_letter(broker, queue, "old", otp(), time=NOW - timedelta(days=1))
    for name in ("m-1", "m-2", "m-3"):
        await put_letter(broker, queue, name)

    whole = await dead_letters.redrive(broker.url, queue, dry=True)
    part = await dead_letters.redrive(broker.url, queue, dry=True, limit=2)

    await broker.holds(queue.dead, 4)
    assert (whole, part) == (Redriven(sent=3, expired=1), Redriven(sent=2, expired=1))
    assert await broker.count(queue.name) == 0


async def test_reasons_are_counted_and_nothing_moves(broker: Broker) -> None:
    await asyncio.gather(*(broker.declare(work) for work in WORK_QUEUES))
    queue = WORK_QUEUES[1]
    for name, reason in (("m-1", "not_json"), ("m-2", "not_json"), ("m-3", "retries_exhausted"), ("m-4", None)):
        headers: dict[str, Any] = {"x-reason": reason}
        await put_letter(broker, queue, name, **headers)

    tally = (await dead_letters.tallies(broker.url))[queue.dead]

    await broker.holds(queue.dead, 4)
    assert (tally.letters, tally.reasons) == (4, {"not_json": 2, "retries_exhausted": 1, "": 1})


async def test_expired_letters_do_not_use_the_limit_up(broker: Broker) -> None:
    queue = await broker.work_queue()
    for name in ("old-1", "old-2"):
        await put_letter(broker, queue, name, otp(), time=NOW - timedelta(days=1))
    for name in ("m-1", "m-2", "m-3"):
        await put_letter(broker, queue, name)

    done = await dead_letters.redrive(broker.url, queue, limit=2, per_second=FAST)

    await broker.holds(queue.dead, 3)
    assert done == Redriven(sent=2, expired=2)
    assert ids_of(await broker.take(queue.name)) == ["m-1", "m-2"]
    assert sorted(filter(None, ids_of(await broker.take(queue.dead)))) == ["m-3", "old-1", "old-2"]


async def test_redrive_keeps_to_its_rate(broker: Broker) -> None:
    queue = await broker.work_queue()
    for number in range(3):
        await put_letter(broker, queue, f"m-{number}")

    redriving = asyncio.ensure_future(dead_letters.redrive(broker.url, queue, per_second=0.01))
    await broker.holds(queue.name, 1)
    one_of_many = (await broker.count(queue.name), redriving.done())
    redriving.cancel()
    await asyncio.gather(redriving, return_exceptions=True)

    assert one_of_many == (1, False)
    await broker.holds(queue.dead, 2)


async def test_redrive_that_is_killed_half_way_loses_nothing(broker: Broker) -> None:
    queue, ids = await broker.work_queue(), [f"m-{number}" for number in range(20)]
    for name in ids:
        await put_letter(broker, queue, name)

    async with program(REDRIVE, broker.url, queue.name, "50") as process:
        await eventually(lambda: _more_than(broker, queue.name, 3))
        await process.kill()
    await eventually(lambda: _all_back(broker, queue, len(ids)))

    found = Counter(ids_of(await broker.take(queue.name) + await broker.take(queue.dead)))
    assert set(found) == set(ids)
    assert max(found.values()) <= 2


async def test_letter_leaves_only_after_its_copy_has_arrived(broker: Broker) -> None:
    queue = await broker.work_queue()
    await put_letter(broker, queue, "m-1")
    await broker.channel.queue_delete(queue.name)

    with pytest.raises(Away):
        await dead_letters.redrive(broker.url, queue, per_second=FAST)

    await broker.holds(queue.dead, 1)


async def test_two_redrives_at_once_send_each_letter_once(broker: Broker) -> None:
    queue, ids = await broker.work_queue(), {f"m-{number}" for number in range(30)}
    for name in sorted(ids):
        await put_letter(broker, queue, name)

    done = await asyncio.gather(*(dead_letters.redrive(broker.url, queue, per_second=200) for _ in range(2)))

    assert sum(each.sent for each in done) == 30
    assert Counter(ids_of(await broker.take(queue.name))) == Counter(ids)
    assert await broker.count(queue.dead) == 0


async def test_letter_that_dies_again_meanwhile_is_not_sent_in_circles(broker: Broker) -> None:
    queue = await broker.work_queue()
    for name in ("m-1", "m-2"):
        await put_letter(broker, queue, name)

    redriving = asyncio.ensure_future(dead_letters.redrive(broker.url, queue, per_second=20))
    await broker.holds(queue.name, 1)
    await put_letter(broker, queue, "m-1 again")
    done = await redriving

    assert done.sent == 2
    assert ids_of(await broker.take(queue.dead)) == ["m-1 again"]


async def test_discarding_takes_what_is_there(broker: Broker) -> None:
    queue = await broker.work_queue()
    for name in ("m-1", "m-2", "m-3"):
        await put_letter(broker, queue, name, b"anything")

    gone = await dead_letters.discard(broker.url, queue)

    assert gone == 3
    assert await broker.count(queue.dead) == await broker.count(queue.name) == 0


@pytest.mark.parametrize("work", [dead_letters.redrive, dead_letters.discard])
async def test_lost_broker_is_told_as_away(broker: Broker, work: Any) -> None:
    queue = await broker.work_queue()
    await put_letter(broker, queue, "m-1")

    async with proxy_to(broker.url) as proxy:
        await proxy.shut()
        with pytest.raises(Away):
            await work(proxy.url, queue)

    assert await broker.count(queue.dead) == 1


async def test_broker_lost_half_way_is_told_as_away_and_costs_no_letter(broker: Broker) -> None:
    queue, ids = await broker.work_queue(), {"m-1", "m-2", "m-3"}
    for name in sorted(ids):
        await put_letter(broker, queue, name)

    async with proxy_to(broker.url) as proxy:
        redriving = asyncio.ensure_future(dead_letters.redrive(proxy.url, queue, per_second=5))
        await broker.holds(queue.name, 1)
        await proxy.shut()
        with pytest.raises(Away):
            await redriving
    await eventually(lambda: _all_back(broker, queue, len(ids)))

    assert set(ids_of(await broker.take(queue.name) + await broker.take(queue.dead))) == ids


async def test_missing_dead_letter_queue_is_told(broker: Broker) -> None:
    with pytest.raises(Away, match="does not exist"):
        await dead_letters.show(broker.url, WorkQueue("nowhere", ()), limit=1)


async def _more_than(broker: Broker, queue: str, count: int) -> bool:
    return await broker.count(queue) > count


async def _all_back(broker: Broker, queue: WorkQueue, count: int) -> bool:
    return await broker.count(queue.name) + await broker.count(queue.dead) >= count
