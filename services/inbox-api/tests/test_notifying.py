"""What each event brings to whom: inbox rows, deliveries and requests to the senders."""

from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest
from inbox_api.testing import (
    BAT,
    NOON,
    OWNER,
    RULES,
    SARA,
    TO_BAT,
    Inbox,
    announcement,
    bill,
    event,
    expiring,
    otp,
    overdue,
    payment,
    signed,
)
from spacehub.errors import PermanentFailure
from spacehub.events import facts
from spacehub.events.facts import Fact, Recipient
from spacehub.events.requests import PushRequested
from spacehub.privacy import phone_trace

THRESHOLD = facts.SmsBudgetThresholdReached(owner_id=OWNER, month="2026-11", level=80, used=4, limit=5)


async def test_bill_reaches_the_inbox_and_asks_for_an_sms(inbox: Inbox) -> None:
    issued = event(bill("A-1"), at=NOON - timedelta(minutes=1), source="/billing")

    await inbox.takes(issued)

    sentence = "11-р сарын төлбөр: ₮1,250,000. 2026-12-05-ийн дотор төлнө үү."
    [row] = await inbox.feed(BAT)
    assert (row["seq"], row["type"], row["title"], row["body"]) == (1, "bill.issued", "Шинэ төлбөр", sentence)
    assert (row["link"], row["created_at"], row["read_at"]) == ("spacehub://bills/A-1", NOON, None)
    [sms] = await inbox.sms()
    assert (sms.phone, sms.text, sms.critical, sms.subject) == ("99112233", sentence, False, "bill:A-1")
    assert (sms.source, sms.source_id, sms.about) == ("/billing", issued.id, "bill.issued")
    assert (sms.user_id, sms.owner_id) == (BAT, OWNER)
    assert sms.expires_at == datetime(2026, 12, 5, 16, 0, tzinfo=UTC)
    assert await inbox.deliveries() == [("inbox", "sent"), ("sms", "pending")]
    assert await inbox.rows("SELECT last_seq, unread FROM feeds") == [{"last_seq": 1, "unread": 1}]


async def test_request_is_one_message_with_the_id_of_its_delivery(inbox: Inbox) -> None:
    issued = event(bill())
    traced = type(issued)(
        issued.id, issued.source, issued.data, issued.time, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    )

    await inbox.takes(traced)

    [delivery] = await inbox.rows("SELECT * FROM deliveries WHERE channel = 'sms'")
    [row] = await inbox.rows("SELECT * FROM outbox")
    [request] = await inbox.requests()
    [sms] = await inbox.sms()
    assert row["message_id"] == request.id == str(sms.sms_id) == str(delivery["id"])
    assert (row["exchange"], row["routing_key"], row["lane"]) == ("spacehub.deliveries", "sms.standard", "standard")
    assert (row["subject"], row["user_id"]) == ("bill:123", BAT)
    assert (request.source, request.time, request.traceparent) == ("/inbox-api", NOON, traced.traceparent)


async def test_event_itself_is_on_record(inbox: Inbox) -> None:
    told = event(bill(), at=NOON - timedelta(hours=1), source="/billing")

    await inbox.takes(told, event(otp(), id="otp-1", source="/auth"))

    [code, issued] = await inbox.rows("SELECT * FROM events ORDER BY type DESC")
    assert (issued["event_id"], issued["source"], issued["type"]) == (told.id, "/billing", "bill.issued")
    assert (issued["occurred_at"], issued["received_at"]) == (told.time, NOON)
    assert (code["event_id"], code["occurred_at"]) == ("otp-1", None)


async def test_code_goes_by_sms_alone_on_the_critical_lane_and_leaves_no_text(inbox: Inbox) -> None:
    await inbox.takes(event(otp("99112233", "482913", locale="en", expires_in=120)))

    [row] = await inbox.rows("SELECT lane, routing_key, user_id, subject FROM outbox")
    assert row == {"lane": "critical", "routing_key": "sms.critical", "user_id": None, "subject": None}
    [sms] = await inbox.sms()
    assert sms.text == "Spacehub code: 482913. Enter it within 2 min."
    assert sms.expires_at == NOON + timedelta(minutes=2)
    [delivery] = await inbox.rows("SELECT * FROM deliveries")
    assert (delivery["channel"], delivery["user_id"], delivery["critical"]) == ("sms", None, True)
    assert not any("482913" in str(value) or "99112233" in str(value) for value in delivery.values())
    assert await inbox.rows("SELECT 1 FROM notifications") == []


async def test_phone_is_kept_as_a_trace_that_any_spelling_finds(inbox: Inbox) -> None:
    await inbox.takes(event(bill(recipient=Recipient(user_id=BAT, phone="+976 9911-2233"))))

    [delivery] = await inbox.rows("SELECT phone_hash, phone_last4 FROM deliveries WHERE channel = 'sms'")
    trace = phone_trace("99112233", key=RULES.phone_key)
    assert (delivery["phone_hash"], delivery["phone_last4"]) == (trace.hash, "2233")


@pytest.mark.parametrize(
    ("fact", "link", "subject"),
    [
        (bill(), "spacehub://bills/123", "bill:123"),
        (overdue(), "spacehub://bills/123", "bill:123"),
        (payment(), "spacehub://bills/123", None),
        (expiring(), "spacehub://contracts/5530", "contract:5530"),
        (announcement(link="spacehub://announcements/31"), "spacehub://announcements/31", None),
        (announcement(), None, None),
    ],
)
async def test_tap_leads_to_what_the_message_is_about(
    inbox: Inbox, fact: Fact, link: str | None, subject: str | None
) -> None:
    await inbox.takes(event(fact))

    [row] = await inbox.feed(BAT)
    [sms] = await inbox.sms()
    assert (row["link"], sms.subject) == (link, subject)


async def test_budget_threshold_comes_to_the_owners_inbox_and_costs_no_sms(inbox: Inbox) -> None:
    inbox.goes_by(channels=frozenset({"inbox", "push", "sms"}))

    await inbox.takes(event(THRESHOLD))

    [row] = await inbox.feed(OWNER)
    assert row["title"] == "SMS төсөв 80%"
    assert await inbox.deliveries() == [("inbox", "sent"), ("push", "pending")]


async def test_push_asks_for_the_same_words_and_names_the_inbox_row(inbox: Inbox) -> None:
    inbox.goes_by(channels=frozenset({"inbox", "push", "sms"}))

    await inbox.takes(event(expiring()))

    [row] = await inbox.feed(BAT)
    [push] = [request.data for request in await inbox.requests() if isinstance(request.data, PushRequested)]
    assert (push.title, push.body, push.link) == (row["title"], row["body"], row["link"])
    assert (push.notification_id, push.user_id, push.subject) == (row["id"], BAT, "contract:5530")
    assert await inbox.deliveries() == [("inbox", "sent"), ("push", "pending"), ("sms", "pending")]


async def test_channel_that_is_not_in_use_leaves_no_trace(inbox: Inbox) -> None:
    await inbox.takes(event(announcement(channels={"push"})))

    assert await inbox.deliveries() == []
    assert await inbox.requests() == []


async def test_requested_notification_goes_the_ways_it_asks_for(inbox: Inbox) -> None:
    await inbox.takes(event(announcement(channels={"inbox"}), id="a"), event(announcement(channels={"sms"}), id="b"))

    assert await inbox.deliveries("a") == [("inbox", "sent")]
    assert await inbox.deliveries("b") == [("sms", "pending")]


async def test_critical_notification_takes_the_critical_lane_whatever_key_it_came_by(inbox: Inbox) -> None:
    await inbox.takes(event(announcement(critical=True)))

    [row] = await inbox.rows("SELECT lane, routing_key FROM outbox")
    assert row == {"lane": "critical", "routing_key": "sms.critical"}


async def test_user_named_twice_is_told_once_by_the_first_mention(inbox: Inbox) -> None:
    twice = announcement(TO_BAT, Recipient(user_id=SARA, phone="88001122"), Recipient(user_id=BAT, phone="95051122"))

    await inbox.takes(event(twice))

    assert [sms.phone for sms in await inbox.sms()] == ["99112233", "88001122"]
    assert len(await inbox.feed(BAT)) == 1


async def test_a_thousand_recipients_are_each_told_in_their_own_feed(inbox: Inbox) -> None:
    crowd = [Recipient(user_id=UUID(int=number), phone=f"9911{number:04}") for number in range(1000)]

    await inbox.takes(event(announcement(*crowd)), event(announcement(*crowd)))

    assert len(await inbox.sms()) == 2000
    assert await inbox.rows("SELECT last_seq, unread, count(*) FROM feeds GROUP BY 1, 2") == [
        {"last_seq": 2, "unread": 2, "count": 1000}
    ]


async def test_rows_of_a_feed_are_numbered_in_the_order_of_the_events(inbox: Inbox) -> None:
    await inbox.takes(event(bill("1")), event(payment("2")), event(overdue("3")))
    await inbox.takes(event(expiring()))

    rows = await inbox.feed(BAT)
    assert [row["seq"] for row in rows] == [1, 2, 3, 4]
    assert [row["type"] for row in rows] == ["bill.issued", "payment.confirmed", "bill.overdue", "contract.expiring"]
    assert await inbox.rows("SELECT last_seq, unread FROM feeds") == [{"last_seq": 4, "unread": 4}]


async def test_user_without_a_phone_gets_no_sms_and_it_says_why(inbox: Inbox) -> None:
    await inbox.takes(event(bill(recipient=Recipient(user_id=BAT))))

    assert await inbox.deliveries() == [("inbox", "sent"), ("sms", "suppressed no_phone")]
    [delivery] = await inbox.rows("SELECT ended_at, phone_hash FROM deliveries WHERE channel = 'sms'")
    assert delivery == {"ended_at": NOON, "phone_hash": None}
    assert await inbox.requests() == []


async def test_wrong_phone_is_left_for_the_sender_to_judge(inbox: Inbox) -> None:
    await inbox.takes(event(bill(recipient=Recipient(user_id=BAT, phone="not a number"))))

    assert [sms.phone for sms in await inbox.sms()] == ["not a number"]


async def test_switched_off_channels_are_suppressed_and_say_why(inbox: Inbox) -> None:
    inbox.goes_by(channels=frozenset({"inbox", "push", "sms"}))
    await inbox.rows("INSERT INTO contacts (user_id, sms, push) VALUES ($1, false, false)", BAT)

    await inbox.takes(event(bill()))

    assert await inbox.deliveries() == [
        ("inbox", "sent"),
        ("push", "suppressed preference"),
        ("sms", "suppressed preference"),
    ]
    assert await inbox.requests() == []


async def test_switches_never_silence_a_critical_message(inbox: Inbox) -> None:
    await inbox.rows("INSERT INTO contacts (user_id, sms, push) VALUES ($1, false, false)", BAT)

    await inbox.takes(event(announcement(critical=True)))

    assert await inbox.deliveries() == [("inbox", "sent"), ("sms", "pending")]


async def test_expired_code_is_left_to_its_sender_to_tell(inbox: Inbox) -> None:
    await inbox.takes(event(otp(), at=NOON - timedelta(minutes=5)))

    assert await inbox.deliveries() == [("sms", "pending")]
    assert [sms.expires_at for sms in await inbox.sms()] == [NOON]


async def test_code_with_a_second_left_still_goes(inbox: Inbox) -> None:
    await inbox.takes(event(otp(), at=NOON - timedelta(minutes=4, seconds=59)))

    assert await inbox.deliveries() == [("sms", "pending")]


@pytest.mark.parametrize(
    ("ends_on", "standing"),
    [
        (date(2026, 11, 22), [("inbox", "expired expired"), ("sms", "pending")]),
        (date(2026, 11, 23), [("inbox", "sent"), ("sms", "pending")]),
    ],
)
async def test_contract_is_spoken_of_until_the_end_of_its_last_day(
    inbox: Inbox, ends_on: date, standing: list[tuple[str, str]]
) -> None:
    await inbox.takes(event(expiring(ends_on=ends_on)))

    assert await inbox.deliveries() == standing
    assert len(await inbox.feed(BAT)) == standing.count(("inbox", "sent"))


async def test_signed_contract_sends_nothing(inbox: Inbox) -> None:
    await inbox.takes(event(signed()))

    assert await inbox.deliveries() == []
    assert await inbox.feed(BAT) == []


async def test_type_without_a_subscriber_is_refused_before_anything_is_written(inbox: Inbox) -> None:
    with pytest.raises(PermanentFailure, match=r"^no_subscriber: sms_budget\.set$"):
        await inbox.takes(event(bill()), event(facts.SmsBudgetSet(owner_id=OWNER, monthly_segments=5)))

    assert await inbox.rows("SELECT 1 FROM events") == []
