"""After a restore nothing is paid for twice: what may have been sent already rests until a person says what became."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import asyncpg
import pytest
from sms_sender import outcomes
from sms_sender.doubts import Doubts
from sms_sender.guarding import may_have_been_sent, send_unless_in_doubt
from sms_sender.ledger import Ledger
from sms_sender.restorations import Restorations
from sms_sender.settling import settle
from sms_sender.testing.requests import bill, otp
from sms_sender.word import Word
from spacehub.errors import NotNow

if TYPE_CHECKING:
    from spacehub.events.requests import SmsRequested

    Pool = asyncpg.Pool[asyncpg.Record]

RESTORED_AT = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
BEFORE, LATER = RESTORED_AT - timedelta(hours=1), RESTORED_AT + timedelta(hours=1)


def happened(at: datetime | None) -> SmsRequested:
    return bill().model_copy(update={"happened_at": at})


class Sender:
    """Sends by way of the guard, and notes what went out."""

    def __init__(self, pool: Pool, ledger: Ledger) -> None:
        self.sent: list[SmsRequested] = []
        self._pool = pool
        self._ledger = ledger

    async def __call__(self, sms: SmsRequested) -> None:
        restorations = Restorations(self._pool)
        await send_unless_in_doubt(sms, restorations=restorations, ledger=self._ledger, send=self._send)

    async def _send(self, sms: SmsRequested) -> None:
        attempt = await self._ledger.claim(sms, segments=1)
        if attempt is not None:
            self.sent.append(sms)
            await self._ledger.record(attempt, outcomes.sent("m-1"), took=timedelta())


@pytest.fixture
def sender(pool: Pool, ledger: Ledger) -> Sender:
    return Sender(pool, ledger)


@pytest.fixture
async def restored(pool: Pool) -> None:
    await Restorations(pool).note(RESTORED_AT, by="Bat")


def word(sms: SmsRequested, *, was_sent: bool, resend: bool = False) -> Word:
    return Word(sms.sms_id, was_sent=was_sent, by="Bat", reason="the carrier's record", resend=resend)


async def status(pool: Pool, sms: SmsRequested) -> tuple[str, str | None] | None:
    row = await pool.fetchrow("SELECT status, reason FROM sms WHERE sms_id = $1", sms.sms_id)
    return (row["status"], row["reason"]) if row else None


async def told(pool: Pool) -> int:
    return int(await pool.fetchval("SELECT count(*) FROM outbox"))


@pytest.mark.parametrize("at", [BEFORE, None], ids=["before", "nobody says when"])
async def test_what_may_have_been_sent_rests_and_tells_no_end(
    restored: None, sender: Sender, pool: Pool, at: datetime | None
) -> None:
    sms = happened(at)

    for _time in range(2):
        with pytest.raises(NotNow, match="restored"):
            await sender(sms)

    assert sender.sent == []
    assert await status(pool, sms) == ("unknown", "restored")
    assert await told(pool) == 0


async def test_what_happened_later_and_every_code_goes_out(restored: None, sender: Sender) -> None:
    later, code = happened(LATER), otp()

    await sender(later)
    await sender(code)

    assert sender.sent == [later, code]


async def test_nothing_rests_without_a_restore_or_once_it_is_lifted(sender: Sender, pool: Pool) -> None:
    first, second = happened(BEFORE), happened(BEFORE)

    await sender(first)
    await Restorations(pool).note(RESTORED_AT, by="Bat")
    lifted = await Restorations(pool).lift(by="Bat")
    await sender(second)

    assert (sender.sent, lifted) == ([first, second], 1)


async def test_what_the_ledger_knows_to_be_sent_stays_so(sender: Sender, pool: Pool) -> None:
    sms = happened(BEFORE)
    await sender(sms)

    await Restorations(pool).note(RESTORED_AT, by="Bat")
    await sender(sms)

    assert sender.sent == [sms]
    assert await status(pool, sms) == ("sent", None)


async def test_what_was_under_way_is_in_doubt(sender: Sender, ledger: Ledger, pool: Pool) -> None:
    sms, code = happened(BEFORE), otp()
    for each in (sms, code):
        attempt = await ledger.claim(each, segments=1)
        assert attempt is not None
        await ledger.release(attempt, "status_503", took=timedelta())

    doubted = await Restorations(pool).note(RESTORED_AT, by="Bat")

    assert doubted == 1
    assert await status(pool, sms) == ("unknown", "restored")
    with pytest.raises(NotNow):
        await sender(sms)
    await sender(code)
    assert sender.sent == [code]


async def test_person_settles_what_was_sent_and_the_rest_goes_out_once(
    restored: None, sender: Sender, pool: Pool
) -> None:
    was, was_not = happened(BEFORE), happened(BEFORE)
    for sms in (was, was_not):
        with pytest.raises(NotNow):
            await sender(sms)

    await settle(word(was, was_sent=True), doubts=Doubts(pool))
    await settle(word(was_not, was_sent=False, resend=True), doubts=Doubts(pool))
    for _time in range(2):
        await sender(was)
        await sender(was_not)

    assert sender.sent == [was_not]
    assert await status(pool, was) == ("sent", None)
    assert await status(pool, was_not) == ("sent", None)


async def test_what_nobody_settles_is_told_as_unknown_when_it_expires(
    restored: None, sender: Sender, pool: Pool
) -> None:
    sms = happened(BEFORE)
    with pytest.raises(NotNow):
        await sender(sms)

    await pool.execute("UPDATE sms SET expires_at = now()")
    await sender(sms)

    assert sender.sent == []
    assert await told(pool) == 1
    assert await status(pool, sms) == ("unknown", "restored")


def test_moment_of_the_restore_itself_is_no_doubt() -> None:
    assert not may_have_been_sent(happened(RESTORED_AT), RESTORED_AT)
    assert not may_have_been_sent(otp(), RESTORED_AT)
    assert may_have_been_sent(happened(BEFORE), RESTORED_AT)
