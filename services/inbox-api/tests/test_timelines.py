"""Every delivery has a timeline that says how it began, what came of it and why."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from inbox_api.accounts import account
from inbox_api.records import Record, Search
from inbox_api.testing import BAT, CHECK_AFTER, NOON, OWNER, Inbox, bill, event, otp, payment
from inbox_api.timelines import Entry, timeline
from inbox_api.tracing_store import PostgresRecords
from spacehub.events import facts
from spacehub.events.facts import Recipient, SmsAttempt
from spacehub.quiet_hours import parse

SECOND = timedelta(seconds=1)
ATTEMPTS = (
    SmsAttempt(number=1, at=NOON + SECOND, outcome="unsent", reason="status_503", duration_ms=12),
    SmsAttempt(number=2, at=NOON + 9 * SECOND, outcome="sent", duration_ms=87),
)


async def record_of(inbox: Inbox, event_id: str, channel: str = "sms") -> Record:
    found = await PostgresRecords(inbox.pool).found(Search(event_id=event_id), after=None, most=100)
    [record] = [record for record in found if record.channel == channel]
    return record


async def timeline_of(inbox: Inbox, event_id: str, channel: str = "sms") -> list[Entry]:
    return timeline(await record_of(inbox, event_id, channel))


def steps(entries: list[Entry]) -> list[str]:
    return [entry.step for entry in entries]


def sms_told(kind: type[Any], number: UUID, **more: Any) -> Any:
    at = more.pop("at", NOON + 10 * SECOND)
    told = {"source_id": "bill", "segments": 1, "attempts": 2, "duration_ms": 87, **more}
    return event(kind(sms_id=number, **told), at=at)


async def test_sent_sms_tells_its_attempts_with_outcome_and_duration(inbox: Inbox) -> None:
    await inbox.takes(event(bill(), id="bill", at=NOON - SECOND))
    number = (await record_of(inbox, "bill")).id

    await inbox.is_told(sms_told(facts.SmsSent, number, message_id="m-1", history=ATTEMPTS))

    assert await timeline_of(inbox, "bill") == [
        Entry(NOON, "received", event_id="bill", event_type="bill.issued"),
        Entry(NOON, "rendered", locale="mn"),
        Entry(NOON + SECOND, "attempted", number=1, outcome="unsent", reason="status_503", duration_ms=12),
        Entry(NOON + 9 * SECOND, "attempted", number=2, outcome="sent", duration_ms=87),
        Entry(NOON + 10 * SECOND, "ended", status="sent"),
    ]


async def test_outcome_without_a_history_tells_of_its_attempts_together(inbox: Inbox) -> None:
    await inbox.takes(event(bill(), id="bill"))
    number = (await record_of(inbox, "bill")).id

    await inbox.is_told(sms_told(facts.SmsFailed, number, reason="invalid_phone"))

    [attempted] = [entry for entry in await timeline_of(inbox, "bill") if entry.step == "attempted"]
    assert (attempted.outcome, attempted.reason, attempted.duration_ms, attempted.number) == (
        "failed",
        "invalid_phone",
        87,
        None,
    )


async def test_push_tells_how_many_devices_it_reached(inbox: Inbox) -> None:
    inbox.goes_by(channels=frozenset({"push"}))
    await inbox.takes(event(bill(), id="bill"))
    number = (await record_of(inbox, "bill", "push")).id

    told = facts.PushSent(push_id=number, source_id="bill", user_id=BAT, sent=2, dead=1)
    await inbox.is_told(event(told, at=NOON + SECOND))

    attempted, ended = (await timeline_of(inbox, "bill", "push"))[-2:]
    assert attempted == Entry(NOON + SECOND, "attempted", outcome="sent", devices_reached=2, devices_dead=1)
    assert ended == Entry(NOON + SECOND, "ended", status="sent")


async def test_night_is_told_with_the_moment_until_which_it_waits(inbox: Inbox) -> None:
    inbox.goes_by(quiet_hours=parse("11:00-13:00"))

    await inbox.takes(event(bill(), id="bill"))

    entries = await timeline_of(inbox, "bill")
    record = await record_of(inbox, "bill")
    assert record.available_at is not None
    assert record.available_at >= NOON + timedelta(hours=1)
    assert entries[2:] == [
        Entry(NOON, "deferred", reason="quiet_hours", until=record.available_at),
        Entry(NOON, "waiting", reason="in_outbox", until=record.available_at),
    ]


async def test_what_has_left_waits_for_its_sender(inbox: Inbox) -> None:
    await inbox.takes(event(bill(), id="bill"))
    await inbox.forwards()

    *_, waiting = await timeline_of(inbox, "bill")

    assert waiting == Entry(NOON, "waiting", reason="at_sender", until=NOON + CHECK_AFTER)


@pytest.mark.parametrize("fact", [bill(), otp(expires_in=3600)])
async def test_being_asked_for_again_is_told_each_time(inbox: Inbox, fact: facts.Fact) -> None:
    await inbox.takes(event(fact, id="one"))
    for _ in range(2):
        await inbox.forwards()
        inbox.waits(CHECK_AFTER * 2)
        await inbox.checks()

    entries = await timeline_of(inbox, "one")

    again = [entry.at for entry in entries if entry.step == "handed_on_again"]
    assert again == [NOON + CHECK_AFTER * 2, NOON + CHECK_AFTER * 4]


async def test_withdrawal_names_the_event_that_withdrew(inbox: Inbox) -> None:
    await inbox.takes(event(bill(), id="bill"))
    await inbox.takes(event(payment(), id="paid", at=NOON + SECOND))

    later = (await timeline_of(inbox, "bill"))[2:]

    [withdrawn] = [entry for entry in later if entry.step == "withdrawn"]
    assert Entry(NOON, "ended", status="suppressed", reason="withdrawn") in later
    assert (withdrawn.step, withdrawn.event_id, withdrawn.event_type) == ("withdrawn", "paid", "payment.confirmed")


async def test_end_that_was_replaced_stays_in_the_timeline(inbox: Inbox) -> None:
    await inbox.takes(event(bill(), id="bill"))
    number = (await record_of(inbox, "bill")).id
    exhausted = sms_told(facts.SmsFailed, number, reason="retries_exhausted", at=NOON + SECOND)
    redriven = sms_told(facts.SmsSent, number, at=NOON + 2 * SECOND)

    await inbox.is_told(exhausted)
    await inbox.is_told(redriven)

    ends = [(entry.status, entry.reason) for entry in await timeline_of(inbox, "bill") if entry.step == "ended"]
    assert ends == [("failed", "retries_exhausted"), ("sent", None)]


async def test_end_that_was_replaced_within_a_batch_stays_too(inbox: Inbox) -> None:
    await inbox.takes(event(bill(), id="bill"))
    number = (await record_of(inbox, "bill")).id

    await inbox.is_told(
        sms_told(facts.SmsUnknown, number, reason="timeout", at=NOON + SECOND),
        sms_told(facts.SmsFailed, number, reason="retries_exhausted", at=NOON + 2 * SECOND),
        sms_told(facts.SmsSent, number, at=NOON + 3 * SECOND),
    )

    ends = [(entry.status, entry.reason) for entry in await timeline_of(inbox, "bill") if entry.step == "ended"]
    assert ends == [("unknown", "timeout"), ("failed", "retries_exhausted"), ("sent", None)]


async def test_inbox_row_tells_when_it_was_read(inbox: Inbox) -> None:
    await inbox.takes(event(bill(), id="bill"))
    await inbox.rows("UPDATE notifications SET read_at = $1", NOON + SECOND)

    assert steps(await timeline_of(inbox, "bill", "inbox")) == ["received", "rendered", "ended", "read"]


async def test_account_of_a_delivery_is_words_for_a_person_and_times_of_ulaanbaatar(inbox: Inbox) -> None:
    await inbox.takes(event(bill(recipient=Recipient(user_id=BAT)), id="bill"))

    told = account(await record_of(inbox, "bill"))

    assert (
        told.splitlines()[0]
        == f"sms bill.issued to user {BAT}: suppressed, no_phone: no phone number is known of the user"
    )
    assert "  2026-11-23 12:00:00  received         bill.issued bill" in told.splitlines()
    assert told.splitlines()[-1].endswith("ended            suppressed, no_phone: no phone number is known of the user")


async def test_account_shows_four_digits_of_a_number_and_no_more(inbox: Inbox) -> None:
    await inbox.takes(event(otp("9911 2233"), id="code"))

    told = account(await record_of(inbox, "code"))

    assert "…2233" in told
    assert "9911" not in told
    assert str(OWNER) not in told
