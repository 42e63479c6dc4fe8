"""The processes of inbox-api as they run, between a real broker and a real database."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from inbox_api.settings import Settings
from inbox_api.testing import BAT, announcement, bill, event, otp, payment
from pydantic import ValidationError
from spacehub import dead_letters
from spacehub.confirming import Outgoing
from spacehub.events import envelope, facts
from spacehub.events.catalogue import EVENTS_EXCHANGE
from spacehub.events.facts import Recipient, UserUpdated
from spacehub.events.requests import SmsEndAsked
from spacehub.testing.waiting import eventually

from .conftest import ISSUING
from .listening import listening

if TYPE_CHECKING:
    from uuid import UUID

    from spacehub.events.envelope import Event
    from spacehub_dev.provisioning.program import Program
    from tests.house import House


async def test_events_become_requests_for_the_senders(house: House) -> None:
    house.start("consume")
    house.start("forward")

    await house.publish(event(otp()), event(bill()), event(announcement(critical=True)))

    critical = await house.requests("sms-sender.critical", 2)
    [standard] = await house.requests("sms-sender.standard", 1)
    assert {sms.about for sms in critical} == {"otp.requested", "notification.requested"}
    assert standard.text.startswith("11-р сарын төлбөр: ₮1,250,000.")
    assert len(await house.inbox.feed(BAT)) == 2


async def test_process_for_one_queue_leaves_the_others_alone(house: House) -> None:
    house.start("consume critical")

    await house.publish(event(bill(), id="bill"), event(otp(), id="otp"))

    await house.takes_in(event(otp(), id="otp"))
    assert await house.inbox.rows("SELECT event_id FROM events") == [{"event_id": "otp"}]
    assert await house.broker.count("inbox-api.standard") == 1


async def test_what_is_told_of_users_counts_for_the_event_right_after_it_however_many_consume(house: House) -> None:
    consumers = house.start("consume standard"), house.start("consume standard")
    await eventually(partial(_consumers, house, len(consumers)))
    people = [uuid4() for _ in range(300)]

    for person in people:
        update = event(UserUpdated(user_id=person, phone="99112233"))
        receipt = event(payment(str(person), Recipient(user_id=person)), id=str(person))
        await house.publish(update)
        await house.publish(receipt)
        if person == people[150]:
            consumers[0].kill()

    await house.takes_in(*(event(payment(), id=str(person)) for person in people))
    assert await house.inbox.rows("SELECT count(*) FROM deliveries WHERE channel = 'sms'") == [{"count": 300}]
    assert await house.inbox.rows("SELECT user_id FROM deliveries WHERE reason = 'no_phone'") == []


async def test_outcome_of_the_sender_ends_the_delivery(house: House) -> None:
    house.start("consume")
    house.start("forward")
    await house.publish(event(bill(), id="bill"))
    [sms] = await house.requests("sms-sender.standard", 1)

    told = facts.SmsSent(sms_id=sms.sms_id, source_id="bill", segments=1, attempts=1, duration_ms=20)
    await house.publish(event(told, source="/sms-sender"))

    await eventually(partial(_has_ended, house, sms.sms_id))
    assert await house.inbox.deliveries() == [("inbox", "sent"), ("push", "pending"), ("sms", "sent")]


async def test_requests_lost_with_their_queue_are_asked_for_again_but_no_code_is(house: House) -> None:
    impatient = {"INBOX_API_CHECK_AFTER": "PT1S", "INBOX_API_CHECK_EVERY": "PT0.1S"}
    house.start("consume", **impatient)
    house.start("forward", **impatient)
    await house.publish(event(otp()), event(bill(), id="bill"))
    await house.requests("sms-sender.critical", 1)
    [sms] = await house.requests("sms-sender.standard", 1)

    [again, *_] = await house.requests("sms-sender.standard", 1)
    told = facts.SmsSent(sms_id=sms.sms_id, source_id="bill", segments=1, attempts=1, duration_ms=20)
    await house.publish(event(told, source="/sms-sender"))
    await eventually(partial(_has_ended, house, sms.sms_id))

    assert again == sms
    assert {type(asked) for asked in await house.requests("sms-sender.critical", 0)} <= {SmsEndAsked}
    assert await house.inbox.rows("SELECT FROM unsettled WHERE delivery_id = $1", sms.sms_id) == []


async def test_what_cannot_be_read_and_what_nobody_takes_die_with_a_reason_and_good_events_pass(house: House) -> None:
    stranger = event(facts.SmsBudgetSet(owner_id=BAT, monthly_segments=5))
    house.start("consume")

    good = [event(bill(str(number))) for number in range(20)]
    await house.publish(*good[:10])
    await house.put(Outgoing(EVENTS_EXCHANGE, "bill.issued", b"{", "1", "application/cloudevents+json"))
    await house.put(_straight("inbox-api.standard", stranger))
    await house.publish(*good[10:])

    await house.takes_in(*good)
    await eventually(partial(_letters, house, 2))
    letters = await house.broker.take("inbox-api.standard.dead")
    reasons = sorted(str((letter.header.properties.headers or {})["x-reason"]) for letter in letters)
    assert reasons == ["no_subscriber: sms_budget.set", "not_json: the body is not JSON"]


@pytest.mark.parametrize("point", ["written", "committed"])
async def test_consumer_killed_between_write_and_ack_neither_loses_nor_repeats(house: House, point: str) -> None:
    events = [event(bill(str(number))) for number in range(50)]
    await house.publish(*events)
    (await house.start_stopping(point)).kill()

    house.start("consume")
    await house.takes_in(*events)
    await house.empties("inbox-api.standard")

    assert sorted(sms.subject or "" for sms in await house.inbox.sms()) == sorted(f"bill:{n}" for n in range(50))
    assert await house.inbox.rows("SELECT last_seq, unread FROM feeds") == [{"last_seq": 50, "unread": 50}]


async def test_consumers_killed_again_and_again_lose_nothing(house: House) -> None:
    events = [event(payment(str(number))) for number in range(600)]
    await house.publish(*events)

    for wanted in (50, 300):
        consumer = house.start("consume", INBOX_API_STANDARD_BATCH="10")
        await eventually(partial(_events, house, wanted), within=30, every=0.005)
        await asyncio.to_thread(consumer.kill)
    house.start("consume")
    await house.takes_in(*events)

    assert len(await house.inbox.sms()) == 600
    assert await house.inbox.rows("SELECT last_seq, unread FROM feeds") == [{"last_seq": 600, "unread": 600}]


async def test_consumer_told_to_stop_finishes_its_batches(house: House) -> None:
    events = [event(bill(str(number))) for number in range(500)]
    consumer = house.start("consume", INBOX_API_STANDARD_BATCH="10")
    await house.publish(*events)
    await eventually(partial(_events, house, 1))

    await asyncio.to_thread(consumer.stop)
    house.start("consume")
    await house.takes_in(*events)

    assert consumer.exit_code == 0
    assert len(await house.inbox.sms()) == 500


async def test_neither_number_nor_code_nor_text_is_logged_when_writing_fails(house: House) -> None:
    who = Recipient(user_id=BAT, phone="99112277")
    failing = {
        "contacts": facts.UserUpdated(user_id=BAT, phone="99112277"),
        "notifications": announcement(who, title="Нууц үг"),
        "deliveries": announcement(who, title="Нууц үг"),
        "unsettled": otp("99112277", "773311"),
        "outbox": otp("99112277", "773311"),
    }
    consumer = house.start("consume")

    for table, fact in failing.items():
        await house.inbox.rows(f"ALTER TABLE {table} ADD CONSTRAINT never CHECK (length({table}::text) < 30)")
        await house.publish(told := event(fact))
        await eventually(partial(_failed, consumer, told))
        await house.inbox.rows(f"ALTER TABLE {table} DROP CONSTRAINT never")
    await asyncio.to_thread(consumer.stop)

    logged = consumer.log.read_text()
    assert "CheckViolation" in logged
    assert not any(secret in logged for secret in ("99112277", "773311", "Нууц", "халуун ус"))


@pytest.mark.parametrize(("name", "value"), [("quiet_hours", "08:00-08:00"), ("quiet_hours", "nights")])
def test_wrong_quiet_hours_are_no_setting(name: str, value: str) -> None:
    told: dict[str, Any] = {
        "amqp_url": "amqp://",
        "database_url": "postgresql://",
        "health_port": 1,
        "phone_key": "x" * 16,
    }

    with pytest.raises(ValidationError, match=name):
        Settings(**{**told, "seal_key": "y" * 16, name: value})


async def test_wrong_setting_is_refused_at_start_and_its_value_not_told(house: House) -> None:
    consumer = house.start("consume", INBOX_API_PHONE_KEY="short key")

    await eventually(lambda: consumer.exit_code is not None)

    assert consumer.exit_code == 1
    assert "phone_key" in consumer.log.read_text()
    assert "short key" not in consumer.log.read_text()


async def test_row_written_by_one_process_is_heard_on_a_stream_of_another_which_ends_on_sigterm(house: House) -> None:
    house.start("consume")
    serving, url = await house.serve()
    token = ISSUING.token(BAT)

    async with listening(url, token) as heard:
        await eventually(lambda: heard.last_id)
        await house.publish(event(bill("A-1"), id="bill"))
        await house.takes_in(event(bill(), id="bill"))
        await eventually(lambda: heard.events, within=2)
        await asyncio.to_thread(serving.stop)
        await eventually(lambda: heard.ended)
    _, url = await house.serve()
    await house.publish(event(payment("A-1")))
    async with listening(url, token, after=heard.last_id) as again:
        await eventually(lambda: again.events)

    assert serving.exit_code == 0
    assert [data["type"] for _, data in heard.events + again.events] == ["bill.issued", "payment.confirmed"]
    assert token not in serving.log.read_text()


async def test_word_to_prune_is_carried_out_between_other_events(house: House) -> None:
    house.start("consume")
    await house.publish(event(announcement(channels={"inbox"}), id="old"))
    await house.takes_in(event(otp(), id="old"))
    await house.inbox.rows("UPDATE events SET received_at = now() - interval '40 days'")
    await house.inbox.rows("UPDATE deliveries SET ended_at = now() - interval '40 days'")

    due = facts.RetentionDue(read_older_than_days=30, settled_older_than_days=30)
    await house.publish(event(bill(), id="before"), event(due), event(bill(), id="after"))

    await house.takes_in(event(bill(), id="after"))
    await eventually(partial(_is_forgotten, house, "old"))
    assert {row["event_id"] for row in await house.inbox.rows("SELECT event_id FROM deliveries")} == {"before", "after"}


def _straight(queue: str, told: Event) -> Outgoing:
    message = envelope.write(told)
    return Outgoing("", queue, message.body, message.id, message.content_type)


def _failed(program: Program, told: Event) -> bool:
    return any("handler_failed" in line and told.id in line for line in program.log.read_text().splitlines())


async def _has_ended(house: House, number: UUID) -> bool:
    return bool(await house.inbox.rows("SELECT 1 FROM deliveries WHERE id = $1 AND ended_at IS NOT NULL", number))


async def _is_forgotten(house: House, event_id: str) -> bool:
    return not await house.inbox.rows("SELECT FROM events WHERE event_id = $1", event_id)


async def _letters(house: House, count: int) -> bool:
    return (await dead_letters.counts(house.broker.url))["inbox-api.standard.dead"] == count


async def _consumers(house: House, count: int) -> bool:
    return await house.broker.consumers("inbox-api.standard") == count


async def _events(house: House, count: int) -> bool:
    return len(await house.inbox.rows("SELECT 1 FROM events")) >= count
