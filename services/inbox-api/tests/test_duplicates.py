"""A second copy of an event changes nothing, whenever and wherever it comes."""

import asyncio
from typing import Any

from inbox_api.testing import BAT, Inbox, bill, event, otp, payment


async def test_copies_in_one_batch_count_once(inbox: Inbox) -> None:
    issued = event(bill())

    await inbox.takes(issued, event(otp()), issued, issued)

    assert len(await inbox.feed(BAT)) == 1
    assert len(await inbox.sms()) == 2


async def test_copy_in_a_later_batch_changes_nothing(inbox: Inbox) -> None:
    issued = event(bill())
    await inbox.takes(issued)
    before = await _everything(inbox)

    await inbox.takes(event(otp(), id="otp"), issued)

    after = await _everything(inbox)
    assert [row for row in after["deliveries"] if row["event_id"] != "otp"] == before["deliveries"]
    assert (after["notifications"], after["feeds"]) == (before["notifications"], before["feeds"])


async def test_copy_that_says_something_else_changes_nothing(inbox: Inbox) -> None:
    await inbox.takes(event(bill(amount=1), id="bill-1"))

    await inbox.takes(event(bill(amount=2), id="bill-1"), event(payment(), id="bill-1"))

    assert [sms.text for sms in await inbox.sms()] == ["11-р сарын төлбөр: ₮1. 2026-12-05-ийн дотор төлнө үү."]


async def test_same_id_from_another_source_is_another_event(inbox: Inbox) -> None:
    await inbox.takes(event(bill(), id="1", source="/billing"), event(bill(), id="1", source="/other"))

    assert len({sms.sms_id for sms in await inbox.sms()}) == 2


async def test_twenty_concurrent_copies_make_one_delivery(inbox: Inbox) -> None:
    issued = event(bill())

    await asyncio.gather(*(inbox.takes(issued) for _ in range(20)))

    assert len(await inbox.sms()) == 1
    assert await inbox.deliveries() == [("inbox", "sent"), ("sms", "pending")]
    assert await inbox.rows("SELECT last_seq, unread FROM feeds") == [{"last_seq": 1, "unread": 1}]


async def test_copy_of_an_event_whose_transaction_failed_is_taken_in(inbox: Inbox) -> None:
    issued = event(bill())
    await inbox.rows("ALTER TABLE notifications RENAME TO gone")
    failed = await asyncio.gather(inbox.takes(issued), return_exceptions=True)

    await inbox.rows("ALTER TABLE gone RENAME TO notifications")
    await inbox.takes(issued)

    assert isinstance(failed[0], Exception)
    assert await inbox.deliveries() == [("inbox", "sent"), ("sms", "pending")]


async def test_ids_stay_what_they_were_in_every_version(inbox: Inbox) -> None:
    await inbox.takes(event(bill(), id="bill-2026-11-A1201", source="/billing"))

    ids = {row["channel"]: str(row["id"]) for row in await inbox.rows("SELECT channel, id FROM deliveries")}
    assert ids == {"inbox": "09ed4383-c135-5563-b4e2-2bd070eb5124", "sms": "2ba5937b-e666-59ff-b06b-a2231987c035"}


async def _everything(inbox: Inbox) -> dict[str, list[dict[str, Any]]]:
    return {
        table: await inbox.rows(f"SELECT * FROM {table} ORDER BY 1")
        for table in ("events", "deliveries", "notifications", "feeds", "outbox")
    }
