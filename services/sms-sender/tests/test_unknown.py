"""A person settles what nobody knows: sent, not sent, or once more; and it is remembered who said so."""

from __future__ import annotations

import asyncio
import os
import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import asyncpg
import pytest
from sms_sender import outcomes
from sms_sender.doubts import Doubts
from sms_sender.ledger import Ledger
from sms_sender.settling import NotSettled, settle
from sms_sender.testing.requests import bill, otp
from sms_sender.unknown import app
from sms_sender.word import Word
from spacehub.events.envelope import STRUCTURED, read
from typer.testing import CliRunner

if TYPE_CHECKING:
    from spacehub.events.requests import SmsRequested

    Pool = asyncpg.Pool[asyncpg.Record]

TOOK = timedelta(milliseconds=5)


@pytest.fixture
def doubts(pool: Pool) -> Doubts:
    return Doubts(pool)


async def in_doubt(ledger: Ledger, sms: SmsRequested) -> SmsRequested:
    """`sms`, of which nobody knows whether it was sent."""
    attempt = await ledger.claim(sms, segments=1)
    assert attempt is not None
    await ledger.record(attempt, outcomes.unknown("timeout"), took=TOOK)
    return sms


def word(sms: SmsRequested, *, was_sent: bool, resend: bool = False) -> Word:
    return Word(sms.sms_id, was_sent=was_sent, by="Bat", reason="asked the carrier", resend=resend)


async def stands(pool: Pool, sms: SmsRequested) -> tuple[str, str | None, int, int]:
    row = await pool.fetchrow("SELECT status, reason, series, ambiguous FROM sms WHERE sms_id = $1", sms.sms_id)
    assert row is not None
    return (row["status"], row["reason"], row["series"], row["ambiguous"])


async def told(pool: Pool) -> list[tuple[str, str | None]]:
    """The types and reasons of the events, in order; their ids are all different."""
    rows = await pool.fetch("SELECT body FROM outbox ORDER BY id")
    events = [read(row["body"], content_type=STRUCTURED, headers={}) for row in rows]
    assert len({event.id for event in events}) == len(events)
    return [(event.data.type, getattr(event.data, "reason", None)) for event in events]


async def used(pool: Pool) -> int:
    segments: int = await pool.fetchval("SELECT used FROM budget_months")
    return segments


async def audited(pool: Pool) -> list[tuple[str, str, str]]:
    rows = await pool.fetch("SELECT by, action, reason FROM audit ORDER BY id")
    return [(row["by"], row["action"], row["reason"]) for row in rows]


async def test_what_was_sent_after_all_is_sent_and_says_so(ledger: Ledger, doubts: Doubts, pool: Pool) -> None:
    sms = await in_doubt(ledger, bill())

    await settle(word(sms, was_sent=True), doubts=doubts)

    assert (await stands(pool, sms))[:2] == ("sent", None)
    assert await told(pool) == [("sms.unknown", "timeout"), ("sms.sent", None)]
    assert await audited(pool) == [("Bat", "settled_as_sent", "asked the carrier")]


async def test_what_a_person_found_unsent_gives_its_segments_back_and_counts_again_if_it_was_sent(
    ledger: Ledger, doubts: Doubts, pool: Pool
) -> None:
    sms = bill()
    attempt = await ledger.claim(sms, segments=3)
    assert attempt is not None
    await ledger.record(attempt, outcomes.unknown("timeout"), took=TOOK)
    in_doubt = await used(pool)

    await settle(word(sms, was_sent=False), doubts=doubts)
    found_unsent = await used(pool)
    await ledger.record(attempt, outcomes.sent("m-1"), took=TOOK * 2)

    assert (in_doubt, found_unsent, await used(pool)) == (3, 0, 3)
    assert await pool.fetchval("SELECT budget_month IS NOT NULL FROM sms")


async def test_what_was_never_sent_has_failed_and_is_not_in_doubt_any_more(
    ledger: Ledger, doubts: Doubts, pool: Pool
) -> None:
    sms = await in_doubt(ledger, bill())

    await settle(word(sms, was_sent=False), doubts=doubts)

    assert await stands(pool, sms) == ("failed", "not_sent", 1, 0)
    assert await told(pool) == [("sms.unknown", "timeout"), ("sms.failed", "not_sent")]
    assert await ledger.claim(sms, segments=1) is None


async def test_what_is_to_be_sent_again_waits_for_its_request_and_tells_no_end(
    ledger: Ledger, doubts: Doubts, pool: Pool
) -> None:
    sms = await in_doubt(ledger, bill())

    await settle(word(sms, was_sent=False, resend=True), doubts=doubts)
    waiting = await stands(pool, sms)
    so_far = await told(pool)
    attempt = await ledger.claim(sms, segments=1)
    assert attempt is not None
    await ledger.record(attempt, outcomes.sent("m"), took=TOOK)

    assert waiting == ("waiting", None, 2, 0)
    assert so_far == [("sms.unknown", "timeout")]
    assert await stands(pool, sms) == ("sent", None, 2, 0)
    assert await told(pool) == [("sms.unknown", "timeout"), ("sms.sent", None)]
    assert await audited(pool) == [("Bat", "sent_again", "asked the carrier")]


@pytest.mark.parametrize("gone", ["expired", "closed"])
async def test_what_would_never_be_sent_is_not_taken_for_another_attempt(
    ledger: Ledger, doubts: Doubts, pool: Pool, gone: str
) -> None:
    sms = await in_doubt(ledger, bill())
    if gone == "expired":
        await pool.execute("UPDATE sms SET expires_at = now() - interval '1 second'")
    else:
        await pool.execute("INSERT INTO closings VALUES ('bill:1', true, now())")

    with pytest.raises(NotSettled, match=gone):
        await settle(word(sms, was_sent=False, resend=True), doubts=doubts)

    assert (await stands(pool, sms))[0] == "unknown"
    assert await audited(pool) == []


async def test_only_what_is_unknown_is_settled_and_only_once(ledger: Ledger, doubts: Doubts, pool: Pool) -> None:
    sent, running, sms = bill(), bill(), await in_doubt(ledger, bill())
    attempt = await ledger.claim(sent, segments=1)
    assert attempt is not None
    await ledger.record(attempt, outcomes.sent("m"), took=TOOK)
    await ledger.claim(running, segments=1)

    words = [
        word(sms, was_sent=False),
        word(sms, was_sent=True),
        word(sent, was_sent=False),
        word(bill(), was_sent=True),
    ]
    answers = await asyncio.gather(*(settle(each, doubts=doubts) for each in words), return_exceptions=True)
    late = await asyncio.gather(settle(word(running, was_sent=True), doubts=doubts), return_exceptions=True)

    assert sum(answer is None for answer in answers[:2]) == 1
    assert all(isinstance(answer, NotSettled) for answer in [*answers[2:], *late])
    assert len(await audited(pool)) == 1


async def test_a_late_answer_of_the_carrier_still_counts_after_a_person_spoke(
    ledger: Ledger, doubts: Doubts, pool: Pool
) -> None:
    sms = bill()
    attempt = await ledger.claim(sms, segments=1)
    assert attempt is not None
    await pool.execute("UPDATE sms SET lease_until = now() - interval '1 second'")
    await ledger.claim(sms, segments=1)  # finds the lease run out: unknown
    await settle(word(sms, was_sent=False), doubts=doubts)

    await ledger.record(attempt, outcomes.sent("m"), took=TOOK)

    assert (await stands(pool, sms))[0] == "sent"


async def command(url: str, *words: str) -> tuple[int, str, str]:
    program = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("sms-sender")),
        "unknown",
        *words,
        env={"PATH": os.environ["PATH"], "SMS_SENDER_DATABASE_URL": url},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await program.communicate()
    assert program.returncode is not None
    return program.returncode, out.decode(), err.decode()


async def test_the_list_names_those_in_doubt_and_no_number(ledger: Ledger, pool: Pool, database_url: str) -> None:
    first, second = await in_doubt(ledger, bill()), await in_doubt(ledger, otp())
    await ledger.claim(bill(), segments=1)

    whole = await command(database_url, "list")
    cut = await command(database_url, "list", "--limit", "1")
    await pool.execute("DELETE FROM sms")
    nothing = await command(database_url, "list")

    lines = whole[1].splitlines()
    assert [line.split()[0] for line in lines] == [str(first.sms_id), str(second.sms_id)]
    assert all(word in lines[0] for word in ("bill.issued", "…2233", "timeout", "bill:1"))
    assert "991122" not in whole[1]
    assert cut[1].splitlines() == [lines[0], "and more: the first 1 are shown"]
    assert nothing == (0, "nothing is in doubt\n", "")


async def test_the_command_settles_and_says_what_it_did(ledger: Ledger, pool: Pool, database_url: str) -> None:
    sms, again = await in_doubt(ledger, bill()), await in_doubt(ledger, bill())
    why = ["--by", "Bat", "--reason", "asked the carrier"]

    settled = await command(database_url, "settle", str(sms.sms_id), "--not-sent", *why)
    twice = await command(database_url, "settle", str(sms.sms_id), "--sent", *why)
    waiting = await command(database_url, "settle", str(again.sms_id), "--not-sent", "--resend", *why)
    stranger = await command(database_url, "settle", str(uuid4()), "--sent", *why)

    assert (settled[0], settled[1]) == (0, f"{sms.sms_id} is settled as failed, not_sent\n")
    assert (twice[0], twice[1], twice[2]) == (1, "", "Not done: it is failed, not unknown\n")
    assert waiting[0] == 0
    assert "waits for another attempt" in waiting[1]
    assert stranger[0] == 1
    assert [action for _, action, _ in await audited(pool)] == ["settled_as_not_sent", "sent_again"]


@pytest.mark.parametrize(
    "words",
    [
        ["--sent", "--resend", "--by", "Bat", "--reason", "r"],
        ["--by", "Bat", "--reason", "r"],
        ["--sent", "--by", "Bat"],
        ["--sent", "--by", "Bat", "--reason", " "],
        ["--sent", "--by", " ", "--reason", "r"],
    ],
    ids=" ".join,
)
def test_words_that_make_no_sense_are_refused(words: list[str]) -> None:
    assert CliRunner().invoke(app, ["settle", str(uuid4()), *words]).exit_code == 2


async def test_a_database_that_is_away_is_told_in_a_word() -> None:
    code, out, err = await command("postgresql://nobody@127.0.0.1:1/nothing", "list")

    assert (code, out) == (1, "")
    assert err == "Not done: postgresql: ConnectionRefusedError\n"
