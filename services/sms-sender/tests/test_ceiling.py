"""The ceiling of SMS a minute: standard ones stop first, critical ones at all of it, and nothing is lost or used up."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from itertools import accumulate
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY
from pydantic import SecretStr, ValidationError
from sms_sender.attempts import Attempt
from sms_sender.ceiling import LENGTH, Minute
from sms_sender.fates import CeilingReached
from sms_sender.ledger import Ledger
from sms_sender.settings import Settings
from sms_sender.testing.books import Book, MemoryBook, PostgresBook
from sms_sender.testing.memory import FakeLedger
from sms_sender.testing.requests import bill, numbered, otp
from spacehub.errors import NotNow

if TYPE_CHECKING:
    import asyncpg
    from spacehub.events.requests import SmsRequested

    Pool = asyncpg.Pool[asyncpg.Record]

KEY = SecretStr("a key for tests")
TOOK = timedelta(milliseconds=120)


@pytest.fixture(params=["memory", "postgresql"])
def ten(request: pytest.FixtureRequest) -> Book:
    """A ledger with a ceiling of ten a minute."""
    if request.param == "memory":
        return MemoryBook(FakeLedger(ceiling=10))
    pool = request.getfixturevalue("pool")
    return PostgresBook(Ledger(pool, phone_key=KEY, ceiling=10), pool)


async def going(book: Book, *requests: SmsRequested) -> list[bool]:
    """Which of them may go now, one after the other."""
    answers = []
    for sms in requests:
        try:
            answers.append(await book.ledger.claim(sms, segments=1) is not None)
        except CeilingReached:
            answers.append(False)
    return answers


async def test_standard_texts_stop_at_four_fifths_and_codes_at_all_of_it(ten: Book) -> None:
    bills, codes = numbered(bill, 9), numbered(otp, 3)

    assert await going(ten, *bills) == [True] * 8 + [False]
    assert await going(ten, *codes) == [True, True, False]


async def test_codes_leave_less_to_standard_texts(ten: Book) -> None:
    assert await going(ten, *numbered(otp, 9)) == [True] * 9

    assert await going(ten, *numbered(bill, 2)) == [True, False]


async def test_what_was_stopped_goes_a_minute_later_and_has_used_up_nothing(ten: Book) -> None:
    owner = uuid4()
    await going(ten, *numbered(bill, 8))
    stopped = bill(owner_id=owner)

    with pytest.raises(CeilingReached) as stop:
        await ten.ledger.claim(stopped, segments=1)
    assert await ten.used(owner) == 0
    await ten.a_minute_passes()
    attempt = await ten.ledger.claim(stopped, segments=1)

    assert isinstance(stop.value, NotNow)
    assert stop.value.retry_in
    assert timedelta() < stop.value.retry_in <= timedelta(seconds=LENGTH + 1)
    assert stop.value.not_after == stopped.expires_at
    assert attempt is not None
    assert attempt.number == 1


async def test_a_code_that_was_stopped_has_taken_no_place_of_its_phone(ten: Book) -> None:
    await going(ten, *numbered(otp, 10))
    for _ in range(7):
        assert await going(ten, otp(phone="88112233")) == [False]

    await ten.a_minute_passes()

    assert await going(ten, *(otp(phone="88112233") for _ in range(6))) == [True] * 5 + [False]


async def test_texts_that_are_blocked_take_nothing_of_the_ceiling(ten: Book) -> None:
    owner = uuid4()
    await ten.limit(owner, 0)
    assert await going(ten, *(bill(owner_id=owner) for _ in range(20))) == [False] * 20
    assert await going(ten, *(otp() for _ in range(9))) == [True] * 5 + [False] * 4

    assert await going(ten, *numbered(bill, 6)) == [True] * 5 + [False]


async def test_an_attempt_after_an_outage_counts_like_any_other(ten: Book) -> None:
    sms = bill()
    for _ in range(8):
        attempt = await ten.ledger.claim(sms, segments=1)
        assert attempt is not None
        await ten.ledger.release(attempt, "status_503", took=TOOK)

    assert await going(ten, sms) == [False]
    assert (await ten.row(sms.sms_id))["status"] == "waiting"


async def test_all_senders_together_stay_below_it(pool: Pool) -> None:
    ledgers = [Ledger(pool, phone_key=KEY, ceiling=50) for _ in range(5)]
    asked = [(ledgers[number % 5], sms) for number, sms in enumerate([*numbered(bill, 100), *numbered(otp, 100)])]

    answers = await asyncio.gather(*(ledger.claim(sms, segments=1) for ledger, sms in asked), return_exceptions=True)

    attempts = [answer for answer in answers if isinstance(answer, Attempt)]
    assert len(attempts) == 50
    assert sum(attempt.about == "bill.issued" for attempt in attempts) <= 40
    assert {type(answer) for answer in answers} == {Attempt, CeilingReached}
    assert await pool.fetchval("SELECT count(*) FROM sms WHERE budget_month IS NOT NULL") == await pool.fetchval(
        "SELECT coalesce(sum(used), 0) FROM budget_months"
    )


async def test_whoever_watches_sees_that_it_was_reached(pool: Pool) -> None:
    book = PostgresBook(Ledger(pool, phone_key=KEY, ceiling=2), pool)
    labels = {"lane": "standard"}
    before = REGISTRY.get_sample_value("spacehub_sms_ceiling_reached_total", labels) or 0

    await going(book, *numbered(bill, 3))

    assert REGISTRY.get_sample_value("spacehub_sms_ceiling_reached_total", labels) == before + 2


@given(
    arrivals=st.lists(st.tuples(st.floats(0, 20), st.integers(1, 40), st.booleans()), min_size=1, max_size=60),
    ceiling=st.integers(2, 60),
)
def test_no_minute_in_a_row_holds_more_than_the_ceiling(arrivals: list[tuple[float, int, bool]], ceiling: int) -> None:
    minute = Minute(1_000_000.0, ())
    gone: list[tuple[float, int, bool]] = []
    moments = accumulate((pause for pause, _, _ in arrivals), initial=1_000_000.0)
    for now, (_, wanted, critical) in zip(moments, arrivals, strict=False):
        taken, minute = Minute(now, minute.seconds).take(wanted, critical=critical, ceiling=ceiling)
        assert 0 <= taken <= wanted
        gone.append((now, taken, critical))

    for end, _, _ in gone:
        within = [(taken, critical) for at, taken, critical in gone if end - LENGTH < at <= end]
        assert sum(taken for taken, _ in within) <= ceiling
        assert sum(taken for taken, critical in within if not critical) <= ceiling * 4 // 5


@given(at=st.floats(1_000_000, 1_000_100), wanted=st.integers(1, 10))
def test_when_the_wait_is_over_there_is_room_again(at: float, wanted: int) -> None:
    _, full = Minute(at, ()).take(10, critical=True, ceiling=10)

    later = Minute(at + full.wait.total_seconds() + 0.001, full.seconds)

    assert later.take(wanted, critical=True, ceiling=10)[0] == wanted


@pytest.mark.parametrize(("given", "ceiling"), [("off", None), ("", None), ("600", 600)])
def test_the_ceiling_is_off_unless_it_is_set(monkeypatch: pytest.MonkeyPatch, given: str, ceiling: int | None) -> None:
    monkeypatch.setenv("SMS_SENDER_CEILING_PER_MINUTE", given)

    assert _settings().ceiling_per_minute == ceiling


def test_a_ceiling_that_leaves_no_lane_a_share_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMS_SENDER_CEILING_PER_MINUTE", "1")

    with pytest.raises(ValidationError, match="ceiling_per_minute"):
        _settings()


def _settings() -> Settings:
    return Settings(
        database_url="x",
        amqp_url="x",
        gateway_url="x",
        gateway_username="x",
        gateway_password="x",
        phone_key="x",
        health_port=1,
    )
