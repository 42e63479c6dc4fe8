"""When a user is deleted, of everything about them only ids are left."""

from datetime import timedelta
from typing import Any

import httpx
import pytest
from inbox_api.testing import BAT, CHECK_AFTER, SARA, Inbox, announcement, bill, event, expiring, payment
from spacehub.events.facts import Recipient, UserDeleted, UserUpdated

from .conftest import TABLES, ClientOf

DELETED = UserDeleted(user_id=BAT)


async def all_kept(inbox: Inbox) -> dict[str, list[dict[str, Any]]]:
    return {table: await inbox.rows(f"SELECT * FROM {table}") for table in TABLES}


@pytest.mark.parametrize("batching", ["one batch", "a batch each"])
async def test_feed_contact_and_requests_go_and_deliveries_keep_ids_alone(inbox: Inbox, batching: str) -> None:
    inbox.goes_by(channels=frozenset({"inbox", "push", "sms"}))
    told = [bill(), payment(), expiring(), announcement(), announcement(critical=True)]
    events = [event(UserUpdated(user_id=BAT, phone="88001122", locale="en")), *map(event, told), event(DELETED)]

    await (inbox.takes(*events) if batching == "one batch" else inbox.takes_each(*events))

    kept = await all_kept(inbox)
    assert {table for table, rows in kept.items() if rows} == {"events", "deliveries", "closings"}
    assert all(row["phone_hash"] is row["phone_last4"] is None for row in kept["deliveries"])
    assert {(row["channel"], row["status"], row["reason"]) for row in kept["deliveries"]} == {
        ("inbox", "sent", None),
        ("push", "suppressed", "withdrawn"),
        ("sms", "suppressed", "withdrawn"),
    }
    assert not any(secret in str(kept) for secret in ("88001122", "99112233", "Зайсан", "халуун"))


async def test_others_keep_everything(inbox: Inbox, client_of: ClientOf) -> None:
    both = announcement(Recipient(user_id=BAT, phone="99112233"), Recipient(user_id=SARA, phone="88001122"))
    await inbox.takes(event(both), event(UserUpdated(user_id=SARA, phone="88001122")))

    await inbox.takes(event(DELETED))

    [row] = (await client_of(SARA).get("/v2/notifications")).json()["items"]
    assert row["title"] == "Ус түр хаана"
    assert [sms.phone for sms in await inbox.sms()] == ["88001122"]
    assert await inbox.rows("SELECT phone FROM contacts") == [{"phone": "88001122"}]
    assert await inbox.rows("SELECT phone_last4 FROM deliveries WHERE channel = 'sms' AND user_id = $1", SARA) == [
        {"phone_last4": "1122"}
    ]


async def test_request_that_has_left_is_no_longer_kept_and_its_delivery_still_ends(inbox: Inbox) -> None:
    await inbox.takes(event(bill(), id="bill"))
    await inbox.forwards()

    await inbox.takes(event(DELETED))

    assert await inbox.rows("SELECT sealed FROM unsettled") == [{"sealed": None}]
    inbox.waits(CHECK_AFTER)
    await inbox.checks()
    assert await inbox.deliveries("bill") == [("inbox", "sent"), ("sms", "suppressed withdrawn")]
    assert await inbox.rows("SELECT * FROM unsettled") == []


@pytest.mark.parametrize("batching", ["one batch", "a batch each"])
async def test_what_comes_after_leaves_no_text_and_no_number(inbox: Inbox, batching: str) -> None:
    late = [event(DELETED), event(bill()), event(UserUpdated(user_id=BAT, phone="88001122"))]

    await (inbox.takes(*late) if batching == "one batch" else inbox.takes_each(*late))

    kept = await all_kept(inbox)
    assert kept["notifications"] == kept["outbox"] == kept["unsettled"] == []
    assert all(row["phone_hash"] is row["phone_last4"] is None for row in kept["deliveries"])
    assert not any(secret in str(kept) for secret in ("99112233", "88001122"))  # four digits are in many an id


async def test_deleted_user_with_a_token_sees_an_empty_feed(inbox: Inbox, bat: httpx.AsyncClient) -> None:
    await inbox.takes(event(bill()), event(payment()))
    [first, *_] = (await bat.get("/v2/notifications")).json()["items"]

    await inbox.takes(event(DELETED))

    assert (await bat.get("/v2/notifications")).json() == {"items": [], "nextCursor": None, "unreadCount": 0}
    assert (await bat.post(f"/v2/notifications/{first['id']}/read")).status_code == 404
    assert (await bat.post("/v2/notifications/read-all")).json() == {"updated": 0}


async def test_user_with_a_hundred_rows_is_forgotten_whole(inbox: Inbox) -> None:
    for number in range(5):
        await inbox.takes(*(event(bill(f"{number}-{n}")) for n in range(20)))
        inbox.waits(timedelta(days=1))

    await inbox.takes(event(DELETED))

    assert await inbox.rows("SELECT * FROM notifications") == []
    assert await inbox.rows("SELECT count(*) FROM deliveries WHERE phone_hash IS NULL") == [{"count": 200}]
