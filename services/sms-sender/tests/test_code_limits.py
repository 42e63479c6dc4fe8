"""One phone gets five codes in any 15 minutes and ten in any 24 hours; the others are blocked."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from sms_sender import outcomes
from sms_sender.testing.requests import bill, otp
from spacehub.events.facts import SmsBlocked

if TYPE_CHECKING:
    from sms_sender.attempts import Attempt
    from sms_sender.testing.books import Book
    from spacehub.events.requests import SmsRequested

TOOK = timedelta(milliseconds=120)
SENT = outcomes.sent("m-1")
MINUTE = timedelta(minutes=1)

SPELLINGS = [
    "99112233",
    "9911-2233",
    "9911 2233",
    "(99) 11.22.33",
    "+97699112233",
    "+976 9911 2233",
    "0097699112233",
    "097699112233",
    "976-99-11-22-33",
    "099112233",
    "９９１１２２３３",
]


def code(**changes: object) -> SmsRequested:
    return otp(sms_id=uuid4(), **changes)


async def claimed(book: Book, sms: SmsRequested) -> Attempt:
    attempt = await book.ledger.claim(sms, segments=1)
    assert attempt is not None
    return attempt


async def send(book: Book, *codes: SmsRequested) -> None:
    for sms in codes:
        await book.ledger.record(await claimed(book, sms), SENT, took=TOOK)


async def is_limited(book: Book, sms: SmsRequested) -> bool:
    """Whether it ends because its phone got too many, instead of being tried."""
    if await book.ledger.claim(sms, segments=1) is not None:
        return False
    row = await book.row(sms.sms_id)
    return bool((row["status"], row["reason"]) == ("blocked", "rate_limited"))


async def test_the_sixth_code_in_a_quarter_of_an_hour_is_blocked_and_says_so(book: Book) -> None:
    await send(book, *(code() for _ in range(5)))

    sixth = code()
    assert await book.ledger.claim(sixth, segments=1) is None

    *_, event = await book.events()
    assert isinstance(event.data, SmsBlocked)
    assert (event.data.sms_id, event.data.reason) == (sixth.sms_id, "rate_limited")


async def test_a_phone_is_one_however_it_is_spelled(book: Book) -> None:
    spelled = [await is_limited(book, code(phone=phone)) for phone in SPELLINGS]

    assert spelled == [False] * 5 + [True] * 6


async def test_phones_do_not_count_for_each_other_nor_do_other_texts(book: Book) -> None:
    await send(book, *(code() for _ in range(5)))

    await send(book, code(phone="88112233"), *(bill(phone="99112233") for _ in range(7)))

    assert await is_limited(book, code())


async def test_the_quarter_of_an_hour_slides(book: Book) -> None:
    await send(book, *(code() for _ in range(3)))
    await book.since_the_codes(10 * MINUTE)
    await send(book, *(code() for _ in range(2)))
    await book.since_the_codes(4 * MINUTE)
    assert await is_limited(book, code())

    await book.since_the_codes(2 * MINUTE)

    assert [await is_limited(book, code()) for _ in range(4)] == [False, False, False, True]


async def test_the_eleventh_code_in_a_day_is_blocked_until_the_first_is_a_day_old(book: Book) -> None:
    for _ in range(5):
        await send(book, code(), code())
        await book.since_the_codes(16 * MINUTE)
    assert await is_limited(book, code())

    await book.since_the_codes(timedelta(hours=24) - 80 * MINUTE - MINUTE)
    assert await is_limited(book, code())
    await book.since_the_codes(MINUTE)

    assert [await is_limited(book, code()) for _ in range(3)] == [False, False, True]


async def test_a_code_counts_once_however_often_it_is_delivered_and_tried(book: Book) -> None:
    sms = code()
    for _ in range(7):
        await book.ledger.release(await claimed(book, sms), "status_503", took=TOOK)
        await book.ledger.give_back(await claimed(book, sms))
    await send(book, sms)
    await book.ledger.claim(sms, segments=1)

    await send(book, *(code() for _ in range(4)))

    assert await is_limited(book, code())


async def test_codes_that_wait_through_an_outage_hold_their_places(book: Book) -> None:
    waiting = [code() for _ in range(5)]
    for sms in waiting:
        await book.ledger.release(await claimed(book, sms), "connect_failed", took=TOOK)
    assert await is_limited(book, code())

    await send(book, *waiting)

    assert await is_limited(book, code())


@pytest.mark.parametrize("end", ["refused", "expired", "exhausted"])
async def test_a_code_that_was_never_sent_leaves_its_place_to_another(book: Book, end: str) -> None:
    sms = code()
    await send(book, *(code() for _ in range(4)))
    attempt = await claimed(book, sms)
    if end == "refused":
        await book.ledger.record(attempt, outcomes.failed("rejected_text"), took=TOOK)
    else:
        await book.ledger.release(attempt, "connect_failed", took=TOOK)
    if end == "expired":
        await book.expires_in(sms.sms_id, timedelta())
        await book.ledger.claim(sms, segments=1)
    if end == "exhausted":
        await book.ledger.exhaust(sms, segments=1)

    assert [await is_limited(book, code()) for _ in range(2)] == [False, True]


async def test_a_code_in_doubt_keeps_its_place(book: Book) -> None:
    await send(book, *(code() for _ in range(4)))

    await book.ledger.record(await claimed(book, code()), outcomes.unknown("timeout"), took=TOOK)

    assert await is_limited(book, code())


async def test_a_code_that_was_blocked_takes_no_place(book: Book) -> None:
    await send(book, *(code() for _ in range(5)))
    for _ in range(10):
        assert await is_limited(book, code())
    await book.since_the_codes(16 * MINUTE)

    assert [await is_limited(book, code()) for _ in range(6)] == [False] * 5 + [True]


async def test_a_code_tried_again_counts_from_then_on(book: Book) -> None:
    late = code()
    await book.ledger.release(await claimed(book, late), "connect_failed", took=TOOK)
    await book.since_the_codes(14 * MINUTE)
    await send(book, late)
    await book.since_the_codes(2 * MINUTE)

    assert [await is_limited(book, code()) for _ in range(5)] == [False] * 4 + [True]


async def test_a_code_in_doubt_that_may_not_be_sent_once_more_is_not_said_to_be_unsent(book: Book) -> None:
    sms = code()
    await book.ledger.doubt(await claimed(book, sms), "timeout", took=TOOK)
    await book.since_the_codes(16 * MINUTE)
    await send(book, *(code() for _ in range(5)))

    assert await book.ledger.claim(sms, segments=1) is None

    row = await book.row(sms.sms_id)
    assert (row["status"], row["reason"]) == ("unknown", "timeout")
