"""`inbox-api trace` tells a person what became of each delivery, found by whatever they have in hand."""

import asyncio
import json
import os
import sys
from pathlib import Path
from uuid import uuid4

import pytest
from inbox_api.records import Record
from inbox_api.testing import BAT, NOON, RULES, SARA, Inbox, bill, event, otp
from inbox_api.tracing import asked_about
from inbox_api.tracing_store import PostgresRecords
from spacehub.events.facts import Recipient

KEY = "a key for tests only"


async def command(directory: Path, *words: str, **environment: str) -> tuple[int | None, str, str]:
    """`inbox-api trace` in `directory`, with no more settings than `environment`."""
    program = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("inbox-api")),
        "trace",
        *words,
        env={"PATH": os.environ["PATH"], **environment},
        cwd=directory,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await program.communicate()
    return program.returncode, out.decode(), err.decode()


async def asked(inbox: Inbox, what: str, *, most: int = 50) -> list[Record]:
    return await asked_about(what, records=PostgresRecords(inbox.pool), phone_key=RULES.phone_key, most=most)


async def test_trace_needs_no_settings_where_a_development_system_runs(
    own_inbox: Inbox, inbox_url: str, tmp_path: Path
) -> None:
    await own_inbox.takes(event(bill(recipient=Recipient(user_id=BAT)), id="b-1"), event(otp("99112233"), id="c-1"))
    (tmp_path / ".run" / "secrets").mkdir(parents=True)
    (tmp_path / ".run" / "secrets" / "phone-key").write_text(KEY)
    (tmp_path / ".run" / "endpoints.json").write_text(json.dumps({"databases": {"inbox": inbox_url}}))

    by_user, by_phone, by_event, nothing = await asyncio.gather(
        command(tmp_path, str(BAT), "--limit", "1"),
        command(tmp_path, "+976 9911-2233"),
        command(tmp_path, "b-1"),
        command(tmp_path, "no-such-event"),
    )

    assert by_user[0] == 0, by_user
    assert "and more: the newest 1 are shown" in by_user[1]
    assert by_phone[1].startswith("sms otp.requested to a phone without a user …2233, critical: pending\n")
    assert "9911" not in by_phone[1]
    assert "suppressed, no_phone: no phone number is known of the user" in by_event[1]
    assert (nothing[0], nothing[1]) == (1, "")
    assert nothing[2] == "No delivery of such an event, user or phone is on record.\n"


async def test_database_that_is_away_is_told_in_a_word(tmp_path: Path) -> None:
    url = "postgresql://nobody:s3cret@127.0.0.1:1/nothing"

    code, out, err = await command(tmp_path, "b-1", INBOX_API_DATABASE_URL=url, INBOX_API_PHONE_KEY=KEY)

    assert (code, out, err) == (1, "", "Not done: postgresql: ConnectionRefusedError\n")


@pytest.mark.parametrize("what", ["event", "user", "delivery", "phone"])
async def test_deliveries_are_found_by_any_of_their_names(inbox: Inbox, what: str) -> None:
    await inbox.takes(event(bill(), id="b-1"), event(bill(recipient=Recipient(user_id=SARA)), id="b-2"))
    [row] = await inbox.rows("SELECT id FROM deliveries WHERE event_id = 'b-1' AND channel = 'sms'")
    names = {"event": "b-1", "user": str(BAT), "delivery": str(row["id"]).upper(), "phone": "(976) 9911.2233"}

    found = await asked(inbox, f" {names[what]} ")

    assert {record.event_id for record in found} == {"b-1"}
    assert row["id"] in {record.id for record in found}


async def test_event_whose_id_is_a_number_is_found_by_it(inbox: Inbox) -> None:
    await inbox.takes(event(bill(recipient=Recipient(user_id=SARA, phone="88001122")), id="99112233"))
    await inbox.takes(event(otp("99112233"), id="code"))

    assert {record.event_id for record in await asked(inbox, "99112233")} == {"99112233", "code"}


async def test_newest_deliveries_come_first_and_no_more_than_asked_for(inbox: Inbox) -> None:
    for number in range(5):
        inbox.now = NOON.replace(minute=number)
        await inbox.takes(event(otp(), id=f"c-{number}"))

    assert [record.event_id for record in await asked(inbox, "99112233", most=2)] == ["c-4", "c-3"]


@pytest.mark.parametrize("what", [str(uuid4()), "e-1", "Ус 99112233", ""])
async def test_what_nobody_knows_finds_nothing(inbox: Inbox, what: str) -> None:
    await inbox.takes(event(otp("99112233")))

    assert await asked(inbox, what) == []
