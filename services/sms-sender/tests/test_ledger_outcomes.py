"""What became of an SMS: the promises of both ledgers, also for those who come late."""

from datetime import timedelta

import pytest
from sms_sender import outcomes
from sms_sender.attempts import Attempt
from sms_sender.outcomes import LEASE_RAN_OUT, Outcome
from sms_sender.testing.books import Book
from sms_sender.testing.requests import bill, otp
from spacehub.events.facts import SmsFailed, SmsSent, SmsUnknown
from spacehub.events.requests import SmsRequested

TOOK = timedelta(milliseconds=120)
SENT = outcomes.sent("m-1")


async def claimed(book: Book, sms: SmsRequested) -> Attempt:
    attempt = await book.ledger.claim(sms, segments=2)
    assert attempt is not None
    return attempt


async def lost(book: Book, sms: SmsRequested) -> Attempt:
    """An attempt whose lease ran out, and which was given up as unknown."""
    attempt = await claimed(book, sms)
    await book.run_out(sms.sms_id)
    assert await book.ledger.claim(sms, segments=2) is None
    return attempt


@pytest.mark.parametrize(
    ("outcome", "fact"),
    [
        (outcomes.sent("m-1"), SmsSent),
        (outcomes.sent(None), SmsSent),
        (outcomes.failed("invalid_phone"), SmsFailed),
        (outcomes.unknown("timeout"), SmsUnknown),
    ],
    ids=str,
)
async def test_an_outcome_is_on_record_and_published(book: Book, outcome: Outcome, fact: type) -> None:
    sms = bill()

    await book.ledger.record(await claimed(book, sms), outcome, took=TOOK)

    row = await book.row(sms.sms_id)
    [event] = await book.events()
    assert (row["status"], row["reason"], row["message_id"]) == (outcome.status, outcome.reason, outcome.message_id)
    assert (row["duration_ms"], row["lease_until"], row["ambiguous"]) == (120, None, int(outcome.status == "unknown"))
    assert row["settled_at"] is not None
    [logged] = row["attempt_log"]
    assert logged == {
        "number": 1,
        "at": row["attempt_started_at"].isoformat(),
        "outcome": outcome.status,
        "reason": outcome.reason,
        "duration_ms": 120,
    }
    assert isinstance(event.data, fact)
    assert event.source == "/sms-sender"
    assert event.time is not None
    assert event.data.model_dump() == {
        "sms_id": sms.sms_id,
        "source_id": sms.source_id,
        "reason": outcome.reason,
        "message_id": outcome.message_id,
        "segments": 2,
        "attempts": 1,
        "duration_ms": 120,
        "history": ({**logged, "at": row["attempt_started_at"]},),
    }


async def test_an_outcome_recorded_twice_is_published_once(book: Book) -> None:
    sms = bill()
    attempt = await claimed(book, sms)

    for _ in range(2):
        await book.ledger.record(attempt, SENT, took=TOOK)

    assert len(await book.events()) == 1
    assert len((await book.row(sms.sms_id))["attempt_log"]) == 1


async def test_an_otp_sent_at_the_second_try_has_no_reason_left(book: Book) -> None:
    sms = otp()
    await book.ledger.doubt(await claimed(book, sms), "timeout", took=TOOK)
    await book.ledger.record(await claimed(book, sms), SENT, took=TOOK)

    row = await book.row(sms.sms_id)
    assert (row["status"], row["reason"], row["attempts"], row["ambiguous"]) == ("sent", None, 2, 1)


async def test_an_otp_in_doubt_keeps_its_doubt_through_an_outage(book: Book) -> None:
    sms = otp()
    await book.ledger.doubt(await claimed(book, sms), "timeout", took=TOOK)
    await book.ledger.release(await claimed(book, sms), "status_503", took=TOOK)
    await book.expires_in(sms.sms_id, timedelta())
    await book.ledger.claim(sms, segments=2)

    row = await book.row(sms.sms_id)
    assert (row["status"], row["reason"]) == ("unknown", "timeout")


async def test_an_otp_refused_at_the_second_try_may_have_been_sent_at_the_first(book: Book) -> None:
    sms = otp()
    await book.ledger.doubt(await claimed(book, sms), "timeout", took=TOOK)
    attempt = await claimed(book, sms)

    for _ in range(2):
        await book.ledger.record(attempt, outcomes.failed("rejected_text"), took=TOOK)

    row = await book.row(sms.sms_id)
    assert (row["status"], row["reason"], row["ambiguous"]) == ("unknown", "timeout", 1)
    assert [(entry["outcome"], entry["reason"]) for entry in row["attempt_log"]] == [
        ("unknown", "timeout"),
        ("failed", "rejected_text"),
    ]
    assert [event.data.type for event in await book.events()] == ["sms.unknown"]


async def test_a_refusal_told_after_the_second_lease_leaves_the_doubt_about_the_first(book: Book) -> None:
    sms = otp()
    await book.ledger.doubt(await claimed(book, sms), "timeout", took=TOOK)
    attempt = await lost(book, sms)

    await book.ledger.record(attempt, outcomes.failed("rejected_text"), took=TOOK)

    row = await book.row(sms.sms_id)
    assert row["status"] == "unknown"
    assert row["ambiguous"] >= 1


@pytest.mark.parametrize("outcome", [SENT, outcomes.failed("rejected_text")], ids=str)
async def test_knowledge_that_comes_after_the_lease_corrects_unknown(book: Book, outcome: Outcome) -> None:
    sms = bill()
    attempt = await lost(book, sms)

    await book.ledger.record(attempt, outcome, took=TOOK)

    row = await book.row(sms.sms_id)
    assert (row["status"], row["reason"], row["ambiguous"]) == (outcome.status, outcome.reason, 0)
    assert [entry["outcome"] for entry in row["attempt_log"]] == ["unknown", outcome.status]
    assert [event.data.type for event in await book.events()] == ["sms.unknown", f"sms.{outcome.status}"]


async def test_what_turns_out_unsent_after_the_lease_waits_for_its_next_attempt(book: Book) -> None:
    sms = bill()
    attempt = await lost(book, sms)

    await book.ledger.release(attempt, "connect_failed", took=TOOK)

    row = await book.row(sms.sms_id)
    assert (row["status"], row["reason"], row["ambiguous"], row["settled_at"]) == ("waiting", None, 0, None)
    assert (await claimed(book, sms)).number == 2


async def test_doubt_that_comes_after_the_lease_changes_nothing(book: Book) -> None:
    sms = bill()
    attempt = await lost(book, sms)

    await book.ledger.record(attempt, outcomes.unknown("timeout"), took=TOOK)

    row = await book.row(sms.sms_id)
    assert (row["status"], row["reason"], row["ambiguous"]) == ("unknown", LEASE_RAN_OUT, 1)
    assert [event.data.type for event in await book.events()] == ["sms.unknown"]


async def test_a_text_that_a_lost_attempt_sent_counts_as_sent_whatever_the_next_attempt_does(book: Book) -> None:
    sms = otp()
    first = await claimed(book, sms)
    await book.run_out(sms.sms_id)
    second = await claimed(book, sms)

    await book.ledger.record(first, SENT, took=TOOK)
    await book.ledger.record(second, outcomes.failed("rejected_text"), took=TOOK)

    row = await book.row(sms.sms_id)
    assert (row["status"], row["message_id"], row["ambiguous"]) == ("sent", "m-1", 1)
    assert [(entry["number"], entry["outcome"]) for entry in row["attempt_log"]] == [
        (1, "unknown"),
        (1, "sent"),
        (2, "failed"),
    ]
    assert [event.data.type for event in await book.events()] == ["sms.sent"]


async def test_a_text_sent_after_the_next_attempt_was_refused_counts_as_sent(book: Book) -> None:
    sms = otp()
    first = await claimed(book, sms)
    await book.run_out(sms.sms_id)
    await book.ledger.record(await claimed(book, sms), outcomes.failed("rejected_text"), took=TOOK)

    for _ in range(2):
        await book.ledger.record(first, SENT, took=TOOK)

    row = await book.row(sms.sms_id)
    assert (row["status"], row["reason"], row["duration_ms"]) == ("sent", None, 120)
    assert [event.data.type for event in await book.events()] == ["sms.unknown", "sms.sent"]


async def test_a_text_sent_twice_is_on_record_as_that(book: Book) -> None:
    sms = otp()
    first = await claimed(book, sms)
    await book.run_out(sms.sms_id)
    second = await claimed(book, sms)

    await book.ledger.record(second, outcomes.sent("m-2"), took=TOOK)
    await book.ledger.record(first, SENT, took=TOOK)

    row = await book.row(sms.sms_id)
    sent = [entry["number"] for entry in row["attempt_log"] if entry["outcome"] == "sent"]
    assert (row["message_id"], sorted(sent), row["ambiguous"]) == ("m-2", [1, 2], 1)
    assert len(await book.events()) == 1


@pytest.mark.parametrize("late", ["release", "give_back", "doubt", "failed"])
async def test_a_lost_attempt_does_not_disturb_the_one_that_followed(book: Book, late: str) -> None:
    sms = otp()
    first = await claimed(book, sms)
    await book.run_out(sms.sms_id)
    second = await claimed(book, sms)

    match late:
        case "release":
            await book.ledger.release(first, "status_503", took=TOOK)
        case "give_back":
            await book.ledger.give_back(first)
        case "doubt":
            await book.ledger.doubt(first, "timeout", took=TOOK)
        case "failed":
            await book.ledger.record(first, outcomes.failed("rejected_text"), took=TOOK)

    row = await book.row(sms.sms_id)
    assert (row["status"], row["claimed_by"], row["attempts"]) == ("claimed", second.token, 2)
    assert await book.events() == []


@pytest.mark.parametrize("outcome", [SENT, outcomes.failed("invalid_phone"), outcomes.unknown("timeout")], ids=str)
async def test_whoever_asks_for_an_end_is_told_it_once_more_under_the_same_id(book: Book, outcome: Outcome) -> None:
    code = otp()
    await book.ledger.record(await claimed(book, code), outcome, took=TOOK)
    [told] = await book.events()
    await book.lose_events()

    await book.ledger.tell(code.sms_id)
    await book.ledger.tell(code.sms_id)

    [again] = await book.events()
    assert (again.id, again.data) == (told.id, told.data)


async def test_nothing_is_told_of_an_sms_that_has_no_end_or_was_never_heard_of(book: Book) -> None:
    waiting, claimed_now = otp(), otp()
    await book.ledger.release(await claimed(book, waiting), "status_503", took=TOOK)
    await claimed(book, claimed_now)

    for sms in (waiting, claimed_now, otp()):
        await book.ledger.tell(sms.sms_id)

    assert await book.events() == []
    assert (await book.row(claimed_now.sms_id))["status"] == "claimed"
