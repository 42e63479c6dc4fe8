"""An owner's month of segments: reserved before a text is sent, given back if it never was, never above the limit."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest
from sms_sender import outcomes
from sms_sender.outcomes import Outcome
from sms_sender.testing.requests import bill, otp
from spacehub.events.facts import SmsBlocked, SmsBudgetThresholdReached

if TYPE_CHECKING:
    from sms_sender.attempts import Attempt
    from sms_sender.testing.books import Book
    from spacehub.events.requests import SmsRequested

TOOK = timedelta(milliseconds=120)
SENT = outcomes.sent("m-1")
OWNER = uuid4()


def of_owner(**changes: object) -> SmsRequested:
    return bill(owner_id=OWNER, **changes)


async def claimed(book: Book, sms: SmsRequested, *, segments: int = 1) -> Attempt:
    attempt = await book.ledger.claim(sms, segments=segments)
    assert attempt is not None
    return attempt


async def send(book: Book, sms: SmsRequested, *, segments: int = 1) -> None:
    await book.ledger.record(await claimed(book, sms, segments=segments), SENT, took=TOOK)


async def is_blocked(book: Book, sms: SmsRequested, *, segments: int = 1) -> bool:
    """Whether it ends, for lack of budget, instead of being tried."""
    if await book.ledger.claim(sms, segments=segments) is not None:
        return False
    row = await book.row(sms.sms_id)
    return bool((row["status"], row["reason"]) == ("blocked", "budget"))


async def told(book: Book) -> list[tuple[UUID, int, int, int]]:
    """Owner, level, used and limit of each threshold that was told, in order."""
    facts = [event.data for event in await book.events()]
    return [
        (fact.owner_id, fact.level, fact.used, fact.limit)
        for fact in facts
        if isinstance(fact, SmsBudgetThresholdReached)
    ]


async def test_above_the_limit_a_text_is_blocked_and_says_so(book: Book) -> None:
    await book.limit(OWNER, 3)
    await send(book, of_owner(), segments=2)

    sms = of_owner()
    assert await book.ledger.claim(sms, segments=2) is None

    *_, event = await book.events()
    row = await book.row(sms.sms_id)
    assert isinstance(event.data, SmsBlocked)
    assert (event.data.sms_id, event.data.reason, event.data.segments, event.data.attempts) == (
        sms.sms_id,
        "budget",
        2,
        0,
    )
    assert (row["status"], row["reason"], await book.used(OWNER)) == ("blocked", "budget", 2)


async def test_what_still_fits_goes_though_a_longer_text_did_not(book: Book) -> None:
    await book.limit(OWNER, 3)
    await send(book, of_owner(), segments=2)

    assert await is_blocked(book, of_owner(), segments=2)
    await send(book, of_owner(), segments=1)

    assert await book.used(OWNER) == 3


async def test_a_text_that_was_blocked_stays_so_when_there_is_room_again(book: Book) -> None:
    await book.limit(OWNER, 0)
    sms = of_owner()
    assert await is_blocked(book, sms)

    await book.limit(OWNER, 10)

    assert await is_blocked(book, sms)
    assert await book.used(OWNER) == 0


async def test_a_critical_text_always_goes_and_is_counted(book: Book) -> None:
    await book.limit(OWNER, 2)

    await send(book, of_owner(critical=True), segments=5)

    assert await book.used(OWNER) == 5
    assert await is_blocked(book, of_owner())


async def test_owners_do_not_pay_for_each_other_and_texts_without_an_owner_for_nobody(book: Book) -> None:
    await book.limit(OWNER, 1)
    await send(book, of_owner())

    await send(book, bill(owner_id=uuid4()), segments=7)
    await send(book, bill(owner_id=None), segments=7)

    assert await book.used(OWNER) == 1


async def test_a_month_is_counted_also_before_its_limit_is_set(book: Book) -> None:
    await send(book, of_owner(), segments=4)

    await book.limit(OWNER, 5)

    assert await is_blocked(book, of_owner(), segments=2)
    await send(book, of_owner())


async def test_a_limit_that_is_lowered_raised_or_lifted_works_from_then_on(book: Book) -> None:
    await book.limit(OWNER, 4)
    await send(book, of_owner(), segments=3)

    await book.limit(OWNER, 2)
    assert await is_blocked(book, of_owner())
    await book.limit(OWNER, 5)
    await send(book, of_owner())
    await book.limit(OWNER, None)
    await send(book, of_owner(), segments=100)

    assert await book.used(OWNER) == 104


async def test_a_new_month_starts_by_itself(book: Book) -> None:
    await book.limit(OWNER, 2)
    await send(book, of_owner(), segments=2)
    assert await is_blocked(book, of_owner())
    await book.lose_events()

    await book.a_month_passes()

    await send(book, of_owner(), segments=2)
    assert await book.used(OWNER) == 2
    assert [level for _, level, _, _ in await told(book)] == [80, 100]


async def test_a_text_that_crosses_the_months_end_is_paid_from_the_month_in_which_it_was_claimed(book: Book) -> None:
    sms = of_owner()
    await book.ledger.release(await claimed(book, sms), "status_503", took=TOOK)

    await book.a_month_passes()
    await book.ledger.record(await claimed(book, sms), SENT, took=TOOK)

    assert await book.used(OWNER) == 0


async def test_a_text_of_last_month_that_ends_unsent_gives_nothing_back_to_this_month(book: Book) -> None:
    sms = of_owner()
    await book.ledger.release(await claimed(book, sms), "status_503", took=TOOK)
    await book.a_month_passes()
    await send(book, of_owner())

    await book.ledger.exhaust(sms, segments=1)

    assert await book.used(OWNER) == 1


async def test_while_a_text_waits_for_its_retry_its_segments_are_reserved_once(book: Book) -> None:
    sms = of_owner()

    for _ in range(3):
        await book.ledger.release(await claimed(book, sms, segments=2), "status_503", took=TOOK)
        await book.ledger.give_back(await claimed(book, sms, segments=2))

    assert await book.used(OWNER) == 2


@pytest.mark.parametrize("end", ["refused", "expired", "withdrawn", "exhausted"])
async def test_what_ends_unsent_gives_its_segments_back_once(book: Book, end: str) -> None:
    await book.limit(OWNER, 3)
    sms = of_owner(subject="bill:7")
    attempt = await claimed(book, sms, segments=3)
    if end == "refused":
        await book.ledger.record(attempt, outcomes.failed("invalid_phone"), took=TOOK)
    else:
        await book.ledger.release(attempt, "status_503", took=TOOK)
    if end == "expired":
        await book.expires_in(sms.sms_id, timedelta())
    if end == "withdrawn":
        await book.close("bill:7")
    if end == "exhausted":
        await book.ledger.exhaust(sms, segments=3)
        await book.expires_in(sms.sms_id, timedelta())

    for _ in range(2):
        assert await book.ledger.claim(sms, segments=3) is None

    assert await book.used(OWNER) == 0
    await send(book, of_owner(), segments=3)


@pytest.mark.parametrize("outcome", [SENT, outcomes.unknown("timeout")], ids=str)
async def test_what_was_or_may_have_been_sent_keeps_its_segments(book: Book, outcome: Outcome) -> None:
    sms = of_owner()

    await book.ledger.record(await claimed(book, sms, segments=2), outcome, took=TOOK)
    await book.ledger.claim(sms, segments=2)
    await book.ledger.exhaust(sms, segments=2)

    assert await book.used(OWNER) == 2


async def test_an_attempt_that_was_lost_keeps_its_segments_until_it_is_known_to_be_unsent(book: Book) -> None:
    sms = of_owner()
    attempt = await claimed(book, sms, segments=2)
    await book.run_out(sms.sms_id)
    assert await book.ledger.claim(sms, segments=2) is None
    assert await book.used(OWNER) == 2

    await book.ledger.record(attempt, outcomes.failed("rejected_text"), took=TOOK)

    assert await book.used(OWNER) == 0


async def test_a_redriven_text_is_counted_once(book: Book) -> None:
    sms = of_owner()
    await book.ledger.release(await claimed(book, sms, segments=2), "status_503", took=TOOK)
    await book.ledger.exhaust(sms, segments=2)

    await book.ledger.record(await claimed(book, sms, segments=2), SENT, took=TOOK)

    assert await book.used(OWNER) == 2


async def test_a_redriven_text_needs_room_like_any_other(book: Book) -> None:
    await book.limit(OWNER, 2)
    sms = of_owner()
    await book.ledger.release(await claimed(book, sms, segments=2), "status_503", took=TOOK)
    await book.ledger.exhaust(sms, segments=2)
    await send(book, of_owner())

    assert await is_blocked(book, sms, segments=2)


async def test_levels_are_told_once_as_they_are_reached(book: Book) -> None:
    await book.limit(OWNER, 10)

    for _ in range(10):
        await send(book, of_owner())
    await is_blocked(book, of_owner())

    assert await told(book) == [(OWNER, 80, 8, 10), (OWNER, 100, 10, 10)]


async def test_a_text_that_jumps_over_both_levels_tells_both(book: Book) -> None:
    await book.limit(OWNER, 10)
    await send(book, of_owner(), segments=7)
    assert await told(book) == []

    await send(book, of_owner(), segments=3)

    assert await told(book) == [(OWNER, 80, 10, 10), (OWNER, 100, 10, 10)]


async def test_once_a_text_is_blocked_the_owner_knows_though_some_segments_are_left(book: Book) -> None:
    await book.limit(OWNER, 5)
    await send(book, of_owner(), segments=4)
    await is_blocked(book, of_owner(), segments=2)

    assert await told(book) == [(OWNER, 80, 4, 5), (OWNER, 100, 4, 5)]


async def test_an_owner_whose_month_never_began_hears_of_the_first_text_that_is_blocked(book: Book) -> None:
    await book.limit(OWNER, 1)

    assert await is_blocked(book, of_owner(), segments=2)

    assert await told(book) == [(OWNER, 80, 0, 1), (OWNER, 100, 0, 1)]


async def test_segments_given_back_and_used_again_tell_nothing_twice(book: Book) -> None:
    await book.limit(OWNER, 5)
    for _ in range(3):
        attempt = await claimed(book, of_owner(), segments=5)
        await book.ledger.record(attempt, outcomes.failed("invalid_phone"), took=TOOK)

    assert [level for _, level, _, _ in await told(book)] == [80, 100]


async def test_a_level_whose_event_is_published_and_gone_is_not_told_again(book: Book) -> None:
    await book.limit(OWNER, 5)
    attempt = await claimed(book, of_owner(), segments=5)
    await book.lose_events()

    await book.ledger.record(attempt, outcomes.failed("invalid_phone"), took=TOOK)
    await send(book, of_owner(), segments=5)
    await is_blocked(book, of_owner())
    await book.limit(OWNER, 4)

    assert await told(book) == []


async def test_a_lowered_limit_tells_at_once_what_it_makes_reached(book: Book) -> None:
    await book.limit(OWNER, 100)
    await send(book, of_owner(), segments=9)

    await book.limit(OWNER, 10)
    await book.limit(OWNER, 9)
    await book.limit(OWNER, 8)

    assert await told(book) == [(OWNER, 80, 9, 10), (OWNER, 100, 9, 9)]


async def test_without_a_limit_nothing_is_told(book: Book) -> None:
    await send(book, of_owner(), segments=1000)
    await book.limit(OWNER, None)

    assert await told(book) == []


async def test_a_threshold_names_its_month(book: Book) -> None:
    await book.limit(OWNER, 1)
    await send(book, of_owner())

    [month] = {event.data.month for event in await book.events() if isinstance(event.data, SmsBudgetThresholdReached)}
    row = await book.row((await _any_sms(book)).sms_id)
    assert month == f"{row['budget_month']:%Y-%m}"


async def _any_sms(book: Book) -> SmsRequested:
    sms = otp(owner_id=OWNER)
    await claimed(book, sms)
    return sms
