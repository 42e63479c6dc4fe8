"""The feed over HTTP: newest first, page by page, each row once, and for its owner alone."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from inbox_api import positions
from inbox_api.positions import NotAPosition
from inbox_api.testing import BAT, NOON, SARA, Inbox, announcement, bill, event, payment
from spacehub.events.facts import Recipient
from spacehub.testing.issuing import Issuer

from .conftest import ISSUING, ClientOf, api_of, client_for

FEED = "/v2/notifications"


async def write(inbox: Inbox, user: UUID, count: int, *, start: int = 0) -> None:
    """So many rows in the user's feed, in one batch; their titles count from `start`."""
    told = [announcement(Recipient(user_id=user), title=str(start + n), channels={"inbox"}) for n in range(count)]
    await inbox.takes(*map(event, told))


async def pages(client: httpx.AsyncClient, **query: Any) -> list[dict[str, Any]]:
    """Every page from the newest rows on."""
    found = [(await client.get(FEED, params=query)).json()]
    while found[-1]["nextCursor"] is not None:
        found.append((await client.get(FEED, params={**query, "cursor": found[-1]["nextCursor"]})).json())
    return found


async def test_row_is_told_as_the_contract_says(inbox: Inbox, bat: httpx.AsyncClient) -> None:
    await inbox.takes(event(bill("A-1"), id="bill"))

    answer = await bat.get(FEED)

    [row] = await inbox.rows("SELECT id FROM notifications")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json() == {
        "items": [
            {
                "id": str(row["id"]),
                "type": "bill.issued",
                "title": "Шинэ төлбөр",
                "body": "11-р сарын төлбөр: ₮1,250,000. 2026-12-05-ийн дотор төлнө үү.",
                "link": "spacehub://bills/A-1",
                "createdAt": "2026-11-23T04:00:00Z",
                "readAt": None,
            }
        ],
        "nextCursor": None,
        "unreadCount": 1,
    }


async def test_who_never_got_anything_has_an_empty_feed(bat: httpx.AsyncClient) -> None:
    assert (await bat.get(FEED)).json() == {"items": [], "nextCursor": None, "unreadCount": 0}
    assert (await bat.get(f"{FEED}/unread-count")).json() == {"unreadCount": 0}
    assert (await bat.post(f"{FEED}/read-all")).json() == {"updated": 0}


async def test_newest_row_is_first_whatever_its_events_time(inbox: Inbox, bat: httpx.AsyncClient) -> None:
    await inbox.takes(event(bill(), at=NOON + timedelta(days=1)))
    inbox.now -= timedelta(hours=1)
    await inbox.takes(event(payment(), at=NOON - timedelta(days=1)))

    [page] = await pages(bat)

    assert [item["type"] for item in page["items"]] == ["payment.confirmed", "bill.issued"]


@pytest.mark.parametrize("limit", [1, 19, 20, 21, 40, 41, 100])
async def test_pages_hold_each_row_once_and_the_last_one_leads_nowhere(
    inbox: Inbox, bat: httpx.AsyncClient, limit: int
) -> None:
    await write(inbox, BAT, 40)

    found = await pages(bat, limit=limit)

    assert [item["title"] for page in found for item in page["items"]] == [str(number) for number in range(39, -1, -1)]
    assert {len(page["items"]) for page in found[:-1]} <= {limit}
    assert {page["unreadCount"] for page in found} == {40}


async def test_without_a_limit_a_page_has_twenty_rows(inbox: Inbox, bat: httpx.AsyncClient) -> None:
    await write(inbox, BAT, 21)

    first = (await bat.get(FEED)).json()
    same = (await bat.get(FEED, params={"cursor": ""})).json()

    assert len(first["items"]) == 20
    assert same == first


async def test_250_rows_page_without_gap_or_repeat_while_others_arrive(inbox: Inbox, bat: httpx.AsyncClient) -> None:
    await write(inbox, BAT, 250)
    titles: list[int] = []
    cursor: str | None = ""

    while cursor is not None:
        arriving = write(inbox, BAT, 2, start=1000), write(inbox, SARA, 2)
        answer, *_ = await asyncio.gather(bat.get(FEED, params={"limit": 7, "cursor": cursor}), *arriving)
        titles += [int(item["title"]) for item in answer.json()["items"]]
        cursor = answer.json()["nextCursor"]

    assert [title for title in titles if title < 1000] == list(range(249, -1, -1))
    assert titles[-250:] == list(range(249, -1, -1))
    assert (await bat.get(FEED)).json()["unreadCount"] == 250 + 2 * 36


async def test_count_on_a_page_is_that_of_its_rows_whatever_is_read_meanwhile(
    inbox: Inbox, bat: httpx.AsyncClient
) -> None:
    await write(inbox, BAT, 60)
    ids = [item["id"] for item in (await bat.get(FEED, params={"limit": 100})).json()["items"]]

    async def read_one_by_one() -> None:
        for number in ids:
            await bat.post(f"{FEED}/{number}/read")

    reading = asyncio.create_task(read_one_by_one())
    found = []
    while not reading.done():
        found.append((await bat.get(FEED, params={"limit": 100})).json())

    assert len({page["unreadCount"] for page in found}) > 1
    for page in found:
        assert page["unreadCount"] == sum(item["readAt"] is None for item in page["items"])


async def test_everyone_sees_the_own_feed_only(inbox: Inbox, client_of: ClientOf) -> None:
    await write(inbox, BAT, 3)
    await write(inbox, SARA, 2, start=100)

    [bats], [saras], [nobodys] = [await pages(client_of(user)) for user in (BAT, SARA, uuid4())]

    assert [item["title"] for item in bats["items"]] == ["2", "1", "0"]
    assert [item["title"] for item in saras["items"]] == ["101", "100"]
    assert nobodys["items"] == []


@pytest.mark.parametrize("limit", ["0", "101", "-1", "1e9", "99999999999999999999", "ten", "", "1.5"])
async def test_bad_limit_is_a_problem_that_names_it(bat: httpx.AsyncClient, limit: str) -> None:
    answer = await bat.get(FEED, params={"limit": limit})

    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert answer.json()["errors"][0]["field"] == "limit"


GOOD = positions.written(7, of=BAT)


@pytest.mark.parametrize(
    "cursor",
    [
        "x",
        "7",
        "null",
        GOOD[:-1],
        GOOD + "A",
        GOOD + "=",
        GOOD.swapcase(),
        GOOD[:-2] + ("AB" if GOOD[-2:] != "AB" else "BA"),
        " " + GOOD,
        GOOD + "\n",
        positions.written(7, of=SARA),
        "A" * 20,
        "_" * 20,
        "A" * 10_000,
        "' OR 1=1 --",
        "тэмдэг",
        "\x00",
        "%00",
    ],
)
async def test_bad_cursor_is_400(inbox: Inbox, bat: httpx.AsyncClient, cursor: str) -> None:
    await write(inbox, BAT, 10)

    answer = await bat.get(FEED, params={"cursor": cursor})

    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")
    assert cursor.strip() not in answer.text.replace("The cursor", "")


@pytest.mark.parametrize("seq", [0, 1, 2**31, 2**63 - 1])
def test_position_reads_back_for_its_user_only(seq: int) -> None:
    written = positions.written(seq, of=BAT)

    assert positions.read(written, of=BAT) == seq
    with pytest.raises(NotAPosition):
        positions.read(written, of=SARA)


@pytest.mark.parametrize("seq", [2**63, 2**64 - 1])
def test_position_that_no_feed_reaches_is_none(seq: int) -> None:
    with pytest.raises(NotAPosition):
        positions.read(positions.written(seq, of=BAT), of=BAT)


TOKENS = {
    "none": None,
    "expired": ISSUING.token(BAT, exp=1_700_000_000),
    "for another audience": ISSUING.token(BAT, aud="somebody-else"),
    "of another issuer": ISSUING.token(BAT, iss="https://elsewhere.test"),
    "signed by a stranger under a known name": Issuer(ISSUING.kid).token(BAT),
    "unsigned": ".".join([*ISSUING.token(BAT).split(".")[:2], ""]),
    "alg none": "eyJhbGciOiJub25lIiwia2lkIjoiZmlyc3QifQ." + ISSUING.token(BAT).split(".")[1] + ".",
    "without a subject": ISSUING.token(BAT, sub=None),
}


@pytest.mark.parametrize("token", TOKENS.values(), ids=TOKENS)
@pytest.mark.parametrize("path", [FEED, f"{FEED}/stream", "/v2/notification-preferences", "/v2/nothing"])
async def test_without_a_valid_token_everything_is_401(client_of: ClientOf, path: str, token: str | None) -> None:
    client = client_of(BAT)
    del client.headers["Authorization"]

    answer = await client.get(path, headers={"Authorization": f"Bearer {token}"} if token else {})

    assert (answer.status_code, answer.headers["content-type"]) == (401, "application/problem+json")
    assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_database_that_is_away_is_503_and_says_when_to_come_back(own_inbox: Inbox) -> None:
    await own_inbox.pool.close()

    async with client_for(BAT, api_of(own_inbox)[0]) as bat:
        answers = [await bat.get(path) for path in (FEED, f"{FEED}/unread-count", f"{FEED}/stream")]

    assert [answer.status_code for answer in answers] == [503, 503, 503]
    assert {answer.headers["content-type"] for answer in answers} == {"application/problem+json"}
    assert all("retry-after" in answer.headers for answer in answers)
