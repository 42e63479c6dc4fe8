"""Who may send an SMS now: the promises of both ledgers."""

import asyncio
from datetime import timedelta

import pytest
from sms_sender import outcomes
from sms_sender.attempts import Attempt
from sms_sender.outcomes import LEASE_RAN_OUT, RETRIES_EXHAUSTED, WITHDRAWN
from sms_sender.testing.books import Book
from sms_sender.testing.requests import bill, otp
from spacehub.errors import NotNow
from spacehub.events.facts import SmsAttempt, SmsBlocked, SmsExpired, SmsFailed, SmsUnknown
from spacehub.events.requests import SmsRequested

TOOK = timedelta(milliseconds=120)


async def claimed(book: Book, sms: SmsRequested) -> Attempt:
    attempt = await book.ledger.claim(sms, segments=1)
    assert attempt is not None
    return attempt


async def is_settled(book: Book, sms: SmsRequested) -> bool:
    return await book.ledger.claim(sms, segments=1) is None


async def test_the_first_claim_of_an_sms_starts_its_first_attempt(book: Book) -> None:
    sms = bill()

    attempt = await claimed(book, sms)

    row = await book.row(sms.sms_id)
    assert (attempt.number, attempt.series, attempt.ambiguous) == (1, 1, 0)
    assert attempt.valid_left > timedelta(hours=23)
    assert timedelta(seconds=15) < attempt.lease_left <= timedelta(seconds=20)
    assert (row["status"], row["attempts"], row["claimed_by"]) == ("claimed", 1, attempt.token)
    assert (row["source_id"], row["segments"], row["subject"]) == (sms.source_id, 1, sms.subject)


async def test_twenty_claims_at_once_start_one_attempt(book: Book) -> None:
    sms = bill()

    answers = await asyncio.gather(*(book.ledger.claim(sms, segments=1) for _ in range(20)), return_exceptions=True)

    assert sum(isinstance(answer, Attempt) for answer in answers) == 1
    assert sum(isinstance(answer, NotNow) for answer in answers) == 19


async def test_an_sms_under_a_lease_is_asked_for_again_soon_and_uses_up_nothing(book: Book) -> None:
    sms = bill()
    await claimed(book, sms)

    with pytest.raises(NotNow) as held:
        await book.ledger.claim(sms, segments=1)

    assert (held.value.retry_in, held.value.not_after) == (None, sms.expires_at)
    assert (await book.row(sms.sms_id))["attempts"] == 1


@pytest.mark.parametrize(
    "outcome", [outcomes.sent("m-1"), outcomes.failed("invalid_phone"), outcomes.unknown("timeout")], ids=str
)
async def test_an_sms_with_an_end_is_not_sent_again(book: Book, outcome: outcomes.Outcome) -> None:
    sms = bill()
    await book.ledger.record(await claimed(book, sms), outcome, took=TOOK)

    assert await is_settled(book, sms)
    assert len(await book.events()) == 1


async def test_what_was_not_sent_is_claimed_again_as_the_next_attempt(book: Book) -> None:
    sms = bill()
    await book.ledger.release(await claimed(book, sms), "connect_failed", took=TOOK)

    attempt = await claimed(book, sms)

    row = await book.row(sms.sms_id)
    assert (attempt.number, attempt.series, row["attempts"], row["status"]) == (2, 1, 2, "claimed")
    [logged] = row["attempt_log"]
    assert (logged["number"], logged["outcome"], logged["reason"]) == (1, "unsent", "connect_failed")
    assert logged["duration_ms"] == 120


async def test_an_attempt_that_tried_nothing_does_not_count(book: Book) -> None:
    sms = bill()
    await book.ledger.give_back(await claimed(book, sms))

    row = await book.row(sms.sms_id)
    attempt = await claimed(book, sms)

    assert (row["status"], row["attempts"], row["attempt_log"]) == ("waiting", 0, [])
    assert attempt.number == 1


async def test_a_bill_whose_attempt_was_lost_is_unknown_and_never_sent_again(book: Book) -> None:
    sms = bill()
    await claimed(book, sms)
    await book.run_out(sms.sms_id)

    assert await is_settled(book, sms)

    row = await book.row(sms.sms_id)
    [event] = await book.events()
    assert (row["status"], row["reason"], row["ambiguous"], row["attempts"]) == ("unknown", LEASE_RAN_OUT, 1, 1)
    assert [entry["outcome"] for entry in row["attempt_log"]] == ["unknown"]
    assert event.data == SmsUnknown(
        sms_id=sms.sms_id,
        source_id=sms.source_id,
        reason=LEASE_RAN_OUT,
        segments=1,
        attempts=1,
        duration_ms=0,
        history=(SmsAttempt(number=1, at=row["attempt_started_at"], outcome="unknown", reason=LEASE_RAN_OUT),),
    )


async def test_an_otp_whose_attempt_was_lost_is_sent_once_more(book: Book) -> None:
    sms = otp()
    await claimed(book, sms)
    await book.run_out(sms.sms_id)

    second = await claimed(book, sms)

    row = await book.row(sms.sms_id)
    assert (second.number, second.ambiguous, row["ambiguous"], row["status"]) == (2, 1, 1, "claimed")
    assert not second.worth_another
    assert [(entry["number"], entry["reason"]) for entry in row["attempt_log"]] == [(1, LEASE_RAN_OUT)]
    assert await book.events() == []


async def test_an_otp_lost_twice_is_unknown(book: Book) -> None:
    sms = otp()
    for _ in range(2):
        await claimed(book, sms)
        await book.run_out(sms.sms_id)

    assert await is_settled(book, sms)
    assert ((await book.row(sms.sms_id))["status"], (await book.row(sms.sms_id))["ambiguous"]) == ("unknown", 2)


async def test_an_otp_lost_with_under_thirty_seconds_to_type_it_in_is_unknown(book: Book) -> None:
    sms = otp()
    await claimed(book, sms)
    await book.run_out(sms.sms_id)
    await book.expires_in(sms.sms_id, timedelta(seconds=29))

    assert await is_settled(book, sms)
    assert (await book.row(sms.sms_id))["status"] == "unknown"


async def test_an_otp_in_doubt_is_claimed_once_more(book: Book) -> None:
    sms = otp()
    await book.ledger.doubt(await claimed(book, sms), "timeout", took=TOOK)

    second = await claimed(book, sms)

    row = await book.row(sms.sms_id)
    assert (second.number, second.worth_another, row["ambiguous"]) == (2, False, 1)
    assert [(entry["outcome"], entry["reason"]) for entry in row["attempt_log"]] == [("unknown", "timeout")]


async def test_an_otp_in_doubt_that_comes_back_too_late_is_unknown_not_expired(book: Book) -> None:
    sms = otp()
    await book.ledger.doubt(await claimed(book, sms), "timeout", took=TOOK)
    await book.expires_in(sms.sms_id, timedelta(seconds=29))

    assert await is_settled(book, sms)

    row = await book.row(sms.sms_id)
    [event] = await book.events()
    assert (row["status"], row["reason"], row["ambiguous"]) == ("unknown", "timeout", 1)
    assert isinstance(event.data, SmsUnknown)


async def test_an_sms_that_comes_too_late_expires_with_an_event(book: Book) -> None:
    sms = otp(expires_at=otp().expires_at - timedelta(hours=1))

    assert await is_settled(book, sms)
    assert await is_settled(book, sms)

    row = await book.row(sms.sms_id)
    [event] = await book.events()
    assert (row["status"], row["reason"], row["attempts"]) == ("expired", "expired", 0)
    assert row["settled_at"] is not None
    assert event.data == SmsExpired(
        sms_id=sms.sms_id, source_id=sms.source_id, reason="expired", segments=1, attempts=0, duration_ms=0
    )


async def test_an_sms_that_waited_too_long_expires(book: Book) -> None:
    sms = bill()
    await book.ledger.release(await claimed(book, sms), "status_503", took=TOOK)
    await book.expires_in(sms.sms_id, timedelta())

    assert await is_settled(book, sms)

    row = await book.row(sms.sms_id)
    [event] = await book.events()
    assert (row["status"], row["attempts"], row["duration_ms"]) == ("expired", 1, 120)
    assert isinstance(event.data, SmsExpired)


@pytest.mark.parametrize("what", ["subject", "user"])
@pytest.mark.parametrize("waited", [False, True], ids=["unheard of", "waiting"])
async def test_what_was_closed_is_withdrawn(book: Book, what: str, waited: bool) -> None:
    sms, other = bill(subject="bill:7"), bill(subject="bill:77")
    if waited:
        await book.ledger.release(await claimed(book, sms), "status_503", took=TOOK)
    await book.close("bill:7" if what == "subject" else f"user:{sms.user_id}")

    assert await is_settled(book, sms)
    assert (await claimed(book, other)).number == 1

    row = await book.row(sms.sms_id)
    [event] = await book.events()
    assert (row["status"], row["reason"]) == ("blocked", WITHDRAWN)
    assert isinstance(event.data, SmsBlocked)
    assert event.data.reason == WITHDRAWN


async def test_an_sms_without_subject_and_user_is_never_taken_for_closed(book: Book) -> None:
    await book.close("user:None")
    await book.close("")

    assert (await claimed(book, otp())).number == 1


async def test_used_up_retries_end_as_failed(book: Book) -> None:
    sms = bill()
    await book.ledger.release(await claimed(book, sms), "status_503", took=TOOK)

    await book.ledger.exhaust(sms, segments=1)

    row = await book.row(sms.sms_id)
    [event] = await book.events()
    assert (row["status"], row["reason"], row["attempts"]) == ("failed", RETRIES_EXHAUSTED, 1)
    assert isinstance(event.data, SmsFailed)
    assert [tried.outcome for tried in event.data.history] == ["unsent"]
    assert event.data == SmsFailed(
        sms_id=sms.sms_id,
        source_id=sms.source_id,
        reason=RETRIES_EXHAUSTED,
        segments=1,
        attempts=1,
        duration_ms=120,
        history=event.data.history,
    )


async def test_retries_used_up_before_any_claim_are_on_record_too(book: Book) -> None:
    sms = bill()

    await book.ledger.exhaust(sms, segments=1)

    assert ((await book.row(sms.sms_id))["status"], len(await book.events())) == ("failed", 1)


async def test_used_up_retries_of_an_otp_in_doubt_end_as_unknown(book: Book) -> None:
    sms = otp()
    await book.ledger.doubt(await claimed(book, sms), "timeout", took=TOOK)

    await book.ledger.exhaust(sms, segments=1)

    assert (await book.row(sms.sms_id))["status"] == "unknown"


async def test_used_up_retries_leave_an_end_and_a_running_attempt_as_they_are(book: Book) -> None:
    done, running = bill(), bill()
    await book.ledger.record(await claimed(book, done), outcomes.sent("m-1"), took=TOOK)
    await claimed(book, running)

    await book.ledger.exhaust(done, segments=1)
    await book.ledger.exhaust(running, segments=1)

    assert (await book.row(done.sms_id))["status"] == "sent"
    assert (await book.row(running.sms_id))["status"] == "claimed"
    assert len(await book.events()) == 1


async def test_a_redriven_sms_opens_a_new_series_and_ends_with_events_of_its_own(book: Book) -> None:
    sms = bill()
    await book.ledger.release(await claimed(book, sms), "status_503", took=TOOK)
    await book.ledger.exhaust(sms, segments=1)

    attempt = await claimed(book, sms)
    row = await book.row(sms.sms_id)
    await book.ledger.release(attempt, "status_503", took=TOOK)
    await book.ledger.exhaust(sms, segments=1)

    assert (attempt.series, attempt.number) == (2, 2)
    assert (row["status"], row["reason"], row["settled_at"]) == ("claimed", None, None)
    first, second = await book.events()
    assert first.id != second.id


@pytest.mark.parametrize("lost", ["expired", "closed"])
async def test_a_redriven_sms_that_lost_its_meaning_stays_as_it_ended(book: Book, lost: str) -> None:
    sms = bill(subject="bill:7")
    await book.ledger.exhaust(sms, segments=1)
    await (book.expires_in(sms.sms_id, timedelta()) if lost == "expired" else book.close("bill:7"))

    assert await is_settled(book, sms)
    assert (await book.row(sms.sms_id))["status"] == "failed"


async def test_only_used_up_retries_are_reopened(book: Book) -> None:
    sms = bill()
    await book.ledger.record(await claimed(book, sms), outcomes.failed("rejected_text"), took=TOOK)

    assert await is_settled(book, sms)
