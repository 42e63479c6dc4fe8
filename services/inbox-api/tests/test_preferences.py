"""What a user prefers: the last word counts, wherever it was said, and never silences a critical message."""

import asyncio
from datetime import timedelta
from typing import Any

import httpx
import pytest
from inbox_api.testing import BAT, NOON, SARA, Inbox, announcement, bill, event
from spacehub.events import facts
from spacehub.events.facts import Recipient, UserUpdated

from .conftest import ClientOf

PREFERENCES = "/v2/notification-preferences"
ALL = {"locale": "mn", "sms": True, "push": True}
MINUTE = timedelta(minutes=1)


async def test_who_never_chose_gets_mongolian_by_every_way(bat: httpx.AsyncClient) -> None:
    answer = await bat.get(PREFERENCES)

    assert (answer.status_code, answer.json()) == (200, ALL)


async def test_choice_holds_for_the_caller_alone(client_of: ClientOf) -> None:
    chosen = {"locale": "en", "sms": False, "push": True}

    answer = await client_of(BAT).put(PREFERENCES, json=chosen)

    assert (answer.status_code, answer.json()) == (200, chosen)
    assert (await client_of(BAT).get(PREFERENCES)).json() == chosen
    assert (await client_of(SARA).get(PREFERENCES)).json() == ALL


async def test_switched_off_ways_are_suppressed_on_record_and_critical_messages_come(
    inbox: Inbox, bat: httpx.AsyncClient
) -> None:
    inbox.goes_by(channels=frozenset({"inbox", "push", "sms"}))
    await bat.put(PREFERENCES, json={"locale": "en", "sms": False, "push": False})

    told = announcement(channels={"inbox", "push", "sms"}, critical=True)
    await inbox.takes(event(bill(), id="bill"), event(told, id="fire"))

    refused = "suppressed preference"
    assert await inbox.deliveries("bill") == [("inbox", "sent"), ("push", refused), ("sms", refused)]
    assert await inbox.deliveries("fire") == [("inbox", "sent"), ("push", "pending"), ("sms", "pending")]
    assert (await inbox.feed(BAT))[0]["body"].startswith("November")


async def test_phone_of_before_stays(inbox: Inbox, bat: httpx.AsyncClient) -> None:
    await inbox.takes(event(UserUpdated(user_id=BAT, phone="88001122")))

    await bat.put(PREFERENCES, json={**ALL, "locale": "en"})
    await inbox.takes(event(bill(recipient=Recipient(user_id=BAT))))

    [sms] = await inbox.sms()
    assert (sms.phone, sms.text.split()[0]) == ("88001122", "November")


@pytest.mark.parametrize(
    ("said", "at", "locale"),
    [
        ("before the call, by an earlier event", -MINUTE, "en"),
        ("after the call, by an event of before it", -MINUTE, "en"),
        ("before the call, by an event of a later time", MINUTE, "en"),
        ("after the call, by a later event", MINUTE, "mn"),
        ("after the call, by an event without a time", None, "mn"),
    ],
)
async def test_of_language_the_last_word_counts(
    inbox: Inbox, bat: httpx.AsyncClient, said: str, at: timedelta | None, locale: str
) -> None:
    update = event(UserUpdated(user_id=BAT, locale="mn"), at=None if at is None else NOON + at)
    call = bat.put(PREFERENCES, json={**ALL, "locale": "en"})
    await inbox.takes(event(UserUpdated(user_id=BAT, locale="mn"), at=NOON - 2 * MINUTE))

    if said.startswith("before"):
        await inbox.takes(update)
        await call
    else:
        await call
        await inbox.takes(update)

    assert (await bat.get(PREFERENCES)).json()["locale"] == locale


async def test_switches_stay_when_an_event_changes_the_language(inbox: Inbox, bat: httpx.AsyncClient) -> None:
    await bat.put(PREFERENCES, json={"locale": "mn", "sms": False, "push": False})

    inbox.waits(MINUTE)
    await inbox.takes(event(UserUpdated(user_id=BAT, locale="en", phone="88001122")))

    assert (await bat.get(PREFERENCES)).json() == {"locale": "en", "sms": False, "push": False}


async def test_calls_and_updates_at_once_leave_a_whole_choice(inbox: Inbox, bat: httpx.AsyncClient) -> None:
    choices = [{"locale": locale, "sms": sms, "push": sms} for locale in ("mn", "en") for sms in (True, False)]

    answers = await asyncio.gather(
        *(bat.put(PREFERENCES, json=choice) for choice in choices * 5),
        *(inbox.takes(event(UserUpdated(user_id=BAT, phone=f"9911{number:04}"))) for number in range(20)),
    )

    assert {answer.status_code for answer in answers if answer is not None} == {200}
    assert (await bat.get(PREFERENCES)).json() in choices


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"locale": "en"},
        {"sms": True, "push": True},
        {**ALL, "locale": "de"},
        {**ALL, "locale": None},
        {**ALL, "locale": ["mn"]},
        {**ALL, "sms": "true"},
        {**ALL, "sms": 1},
        {**ALL, "push": None},
        [],
        "mn",
        None,
    ],
)
async def test_half_or_wrong_choices_are_refused_and_change_nothing(bat: httpx.AsyncClient, body: Any) -> None:
    answer = await bat.put(PREFERENCES, json=body)

    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert (await bat.get(PREFERENCES)).json() == ALL


async def test_keys_that_nobody_knows_are_ignored(bat: httpx.AsyncClient) -> None:
    answer = await bat.put(PREFERENCES, json={**ALL, "email": True})

    assert (answer.status_code, answer.json()) == (200, ALL)


async def test_nothing_is_kept_of_a_deleted_user_who_still_has_a_token(inbox: Inbox, bat: httpx.AsyncClient) -> None:
    await bat.put(PREFERENCES, json={**ALL, "sms": False})
    await inbox.takes(event(facts.UserDeleted(user_id=BAT)))

    answer = await bat.put(PREFERENCES, json={**ALL, "sms": False})

    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert (await bat.get(PREFERENCES)).json() == ALL
    assert await inbox.rows("SELECT * FROM contacts") == []
