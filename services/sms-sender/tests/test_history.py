"""The event of an end tells of every attempt that led there."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sms_sender import outcomes
from sms_sender.outcomes import LEASE_RAN_OUT
from sms_sender.testing.requests import bill, otp
from spacehub.events.facts import SmsAttempt, SmsBlocked, SmsSent, SmsUnknown

if TYPE_CHECKING:
    import asyncpg
    from sms_sender.attempts import Attempt
    from sms_sender.ledger import Ledger
    from sms_sender.testing.books import Book
    from spacehub.events.requests import SmsRequested

    Pool = asyncpg.Pool[asyncpg.Record]

TOOK = timedelta(milliseconds=120)


async def claimed(book: Book, sms: SmsRequested) -> Attempt:
    attempt = await book.ledger.claim(sms, segments=1)
    assert attempt is not None
    return attempt


async def history(book: Book) -> tuple[SmsAttempt, ...]:
    """What the newest end says of its attempts."""
    *_, event = await book.events()
    assert isinstance(event.data, SmsSent | SmsUnknown | SmsBlocked)
    return event.data.history


def in_short(tried: SmsAttempt) -> tuple[Any, ...]:
    return tried.number, tried.outcome, tried.reason, tried.duration_ms


async def test_a_text_sent_at_the_third_attempt_tells_of_all_three(book: Book) -> None:
    sms = otp()
    first = await claimed(book, sms)
    await book.ledger.release(first, "status_503", took=TOOK)
    second = await claimed(book, sms)
    await book.run_out(sms.sms_id)
    third = await claimed(book, sms)

    await book.ledger.record(third, outcomes.sent("m-1"), took=TOOK * 2)

    told = await history(book)
    assert [in_short(tried) for tried in told] == [
        (1, "unsent", "status_503", 120),
        (2, "unknown", LEASE_RAN_OUT, None),
        (3, "sent", None, 240),
    ]
    assert [tried.at for tried in told] == [attempt.started_at for attempt in (first, second, third)]


async def test_an_end_without_the_carriers_word_tells_of_the_attempt_that_was_lost(book: Book) -> None:
    sms = bill()
    await claimed(book, sms)
    await book.run_out(sms.sms_id)

    await book.ledger.claim(sms, segments=1)

    assert [in_short(tried) for tried in await history(book)] == [(1, "unknown", LEASE_RAN_OUT, None)]


async def test_what_was_never_tried_has_no_history(book: Book) -> None:
    await book.close("bill:1")

    await book.ledger.claim(bill(subject="bill:1"), segments=1)

    assert await history(book) == ()


async def test_an_end_told_again_tells_of_the_same_attempts(ledger: Ledger, pool: Pool) -> None:
    sms = bill()
    for ends in (False, True):
        attempt = await ledger.claim(sms, segments=1)
        assert attempt is not None
        if ends:
            await ledger.record(attempt, outcomes.sent("m-1"), took=TOOK)
        else:
            await ledger.release(attempt, "status_503", took=TOOK)
    [first] = await pool.fetch("DELETE FROM outbox RETURNING convert_from(body, 'UTF8')::json -> 'data' AS data")

    await ledger.claim(sms, segments=1)

    [again] = await pool.fetch("SELECT convert_from(body, 'UTF8')::json -> 'data' AS data FROM outbox")
    assert again["data"] == first["data"]
