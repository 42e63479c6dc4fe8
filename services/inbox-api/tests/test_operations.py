"""Those who look after the system see what became of any delivery, and nobody else does."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from inbox_api import cursors
from inbox_api.records import Search
from inbox_api.testing import BAT, NOON, SARA, Inbox, announcement, bill, event, otp
from inbox_api.tracing_store import statement
from spacehub import database
from spacehub.events.facts import Recipient

from .conftest import api_of, client_for

URL = "/v2/ops/deliveries"


@pytest.fixture
async def ops(inbox: Inbox) -> AsyncIterator[httpx.AsyncClient]:
    """Calls the API for somebody whose token has the scope `ops` among others."""
    api, _ = api_of(inbox)
    async with client_for(uuid4(), api, scope="openid ops profile") as client:
        yield client


async def items(ops: httpx.AsyncClient, **asked: Any) -> list[dict[str, Any]]:
    answer = await ops.get(URL, params=asked)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


async def problem(ops: httpx.AsyncClient, url: str = URL, **asked: Any) -> int:
    answer = await ops.get(url, params=asked)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == answer.status_code
    return answer.status_code


async def test_delivery_is_told_with_its_timeline(inbox: Inbox, ops: httpx.AsyncClient) -> None:
    await inbox.takes(event(bill(recipient=Recipient(user_id=BAT)), id="bill", at=NOON))

    [sms] = [item for item in await items(ops, event_id="bill") if item["channel"] == "sms"]

    assert (sms["status"], sms["reason"], sms["meaning"]) == (
        "suppressed",
        "no_phone",
        "no phone number is known of the user",
    )
    assert (sms["userId"], sms["eventId"], sms["type"], sms["createdAt"]) == (
        str(BAT),
        "bill",
        "bill.issued",
        "2026-11-23T04:00:00Z",
    )
    assert [step["step"] for step in sms["timeline"]] == ["received", "rendered", "ended"]
    assert sms["timeline"][-1] == {
        "at": "2026-11-23T04:00:00Z",
        "step": "ended",
        "status": "suppressed",
        "reason": "no_phone",
        "meaning": "no phone number is known of the user",
    }
    assert (await ops.get(f"{URL}/{sms['id']}")).json() == sms


@pytest.mark.parametrize(
    "spelling", ["99112233", "9911 2233", "+976 9911-2233", "00976(99)112233", "099112233", "９９１１２２３３"]
)
async def test_every_spelling_of_a_phone_finds_it_and_four_digits_are_shown(
    inbox: Inbox, ops: httpx.AsyncClient, spelling: str
) -> None:
    await inbox.takes(event(otp("976-9911.2233"), id="code"), event(otp("88112233"), id="other"))

    [code] = await items(ops, phone=spelling)

    assert (code["eventId"], code["phoneLast4"]) == ("code", "2233")
    assert "9911" not in str({**code, "id": "", "timeline": ""})


async def test_everything_asked_for_has_to_apply(inbox: Inbox, ops: httpx.AsyncClient) -> None:
    await inbox.takes(event(bill(), id="one"), event(bill(recipient=Recipient(user_id=SARA)), id="two"))

    assert {item["eventId"] for item in await items(ops, status="pending")} == {"one"}
    assert {item["eventId"] for item in await items(ops, user_id=str(SARA))} == {"two"}
    assert await items(ops, user_id=str(SARA), status="pending") == []
    assert [item["channel"] for item in await items(ops, user_id=str(BAT), phone="99112233")] == ["sms"]


@pytest.mark.parametrize("limit", [1, 7, 100])
async def test_pages_repeat_and_skip_nothing_while_deliveries_are_made(
    inbox: Inbox, ops: httpx.AsyncClient, limit: int
) -> None:
    people = [Recipient(user_id=uuid4(), phone="99112233") for _ in range(20)]
    await inbox.takes(event(announcement(*people), id="all"))
    wanted = {str(row["id"]) for row in await inbox.rows("SELECT id FROM deliveries WHERE channel = 'sms'")}

    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = (await ops.get(URL, params={"phone": "99112233", "limit": limit, "cursor": cursor})).json()
        seen += [item["id"] for item in page["items"]]
        cursor = page["nextCursor"]
        inbox.waits(timedelta(seconds=1))
        await inbox.takes(event(otp()))

    assert len(seen) == len(set(seen)) == 20
    assert set(seen) == wanted


async def test_cursor_is_good_for_its_own_search_only(inbox: Inbox, ops: httpx.AsyncClient) -> None:
    await inbox.takes(event(bill(), id="one"), event(otp()))
    cursor = (await ops.get(URL, params={"status": "pending", "limit": 1})).json()["nextCursor"]

    assert await problem(ops, status="sent", cursor=cursor) == 400
    assert await problem(ops, status="pending", cursor=cursor[:-1]) == 400
    assert await problem(ops, status="pending", cursor="x" * 44) == 400
    assert await problem(ops, status="pending", cursor="текст") == 400
    assert len(await items(ops, status="pending", cursor=cursor)) == 1


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({}, 400),
        ({"limit": 5}, 400),
        ({"user_id": "Bat"}, 422),
        ({"user_id": ""}, 422),
        ({"status": "lost"}, 422),
        ({"event_id": ""}, 422),
        ({"event_id": "a\x00b"}, 422),
        ({"phone": "Bat"}, 422),
        ({"phone": ""}, 422),
        ({"phone": "9" * 65}, 422),
        ({"status": "sent", "limit": 0}, 422),
        ({"status": "sent", "limit": 101}, 422),
    ],
)
async def test_question_that_cannot_be_answered_is_refused(
    ops: httpx.AsyncClient, asked: dict[str, Any], status: int
) -> None:
    assert await problem(ops, **asked) == status


@pytest.mark.parametrize("id", ["nonsense", str(uuid4())])
async def test_delivery_that_is_not_there_is_told_so(ops: httpx.AsyncClient, id: str) -> None:
    assert await problem(ops, f"{URL}/{id}") == 404


@pytest.mark.parametrize("claims", [{}, {"scope": ""}, {"scope": "opsy ops:read"}, {"scope": ["ops"]}, {"ops": True}])
@pytest.mark.parametrize("path", ["", f"/{UUID(int=1)}", "?status=nonsense"])
async def test_caller_without_the_scope_is_turned_away(inbox: Inbox, claims: dict[str, Any], path: str) -> None:
    await inbox.takes(event(bill()))
    api, _ = api_of(inbox)

    async with client_for(BAT, api, **claims) as tenant:
        answer = await tenant.get(URL + path)

    assert answer.status_code == 403
    assert answer.headers["content-type"] == "application/problem+json"
    assert 'error="insufficient_scope", scope="ops"' in answer.headers["www-authenticate"]
    assert str(BAT) not in answer.text


SEARCHES = {
    "deliveries_user": Search(user_id=BAT),
    "deliveries_phone": Search(phone_hash=b"\x01" * 32),
    "deliveries_event": Search(event_id="e-7"),
    "deliveries_status": Search(status="failed"),
    "deliveries_pkey": Search(delivery_id=UUID(int=5)),
}

_MANY = """
INSERT INTO deliveries (id, source, event_id, type, channel, user_id, critical, locale, phone_hash, status, expires_at,
  created_at)
SELECT gen_random_uuid(), '/s', 'e-' || n / 3, 'bill.issued', 'sms',
  ('00000000-0000-0000-0000-' || lpad((n % 2000)::text, 12, '0'))::uuid, false, 'mn',
  sha256((n % 2000)::text::bytea), (ARRAY['sent', 'sent', 'sent', 'failed', 'pending'])[1 + n % 5], now(),
  now() - n * interval '1 second'
FROM generate_series(1, 20000) AS n"""


async def test_each_search_and_each_page_of_it_goes_by_an_index(own_inbox: Inbox) -> None:
    await own_inbox.rows(_MANY)
    await own_inbox.rows("ANALYZE deliveries")

    for index, search in SEARCHES.items():
        for after in (None, (NOON, UUID(int=0))):
            query, values = statement(search, after=after, most=21)
            async with database.reading(own_inbox.pool) as connection:
                plan = "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN {query}", *values))
            assert f" {index} on deliveries" in plan or f"on {index}" in plan, plan
            assert "Seq Scan on deliveries" not in plan


def test_cursor_holds_no_more_than_a_place() -> None:
    search = Search(phone_hash=b"\x01" * 32)

    told = cursors.written(NOON, UUID(int=7), of=search)

    assert len(told) == 44
    assert cursors.read(told, of=search) == (NOON, UUID(int=7))
