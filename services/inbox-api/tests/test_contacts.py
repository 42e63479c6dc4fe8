"""What is known of a user: the newest fact wins, and who beats whom when a message goes out."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from inbox_api.testing import BAT, NOON, Inbox, announcement, bill, event, expiring, otp, overdue, payment
from spacehub.events import facts
from spacehub.events.envelope import Event
from spacehub.events.facts import Fact, Recipient

EARLIER, LATER = NOON - timedelta(hours=1), NOON + timedelta(hours=1)


def update(at: datetime | None = NOON, **told: Any) -> Event:
    return event(facts.UserUpdated(user_id=BAT, **told), at=at)


async def contact(inbox: Inbox) -> tuple[str | None, str | None]:
    [row] = await inbox.rows("SELECT phone, locale FROM contacts WHERE user_id = $1", BAT)
    return row["phone"], row["locale"]


@pytest.mark.parametrize("batching", ["one batch", "a batch each"])
@pytest.mark.parametrize(
    ("updates", "known"),
    [
        ([update(phone="1", locale="en")], ("1", "en")),
        ([update(EARLIER, phone="1"), update(LATER, phone="2")], ("2", None)),
        ([update(LATER, phone="2"), update(EARLIER, phone="1")], ("2", None)),
        ([update(phone="1"), update(phone="2")], ("2", None)),
        ([update(LATER, phone="1"), update(EARLIER, phone="2", locale="en")], ("1", "en")),
        ([update(EARLIER, phone="1", locale="en"), update(LATER, phone="2")], ("2", "en")),
        ([update(EARLIER, phone="1", locale="en"), update(LATER)], ("1", "en")),
        ([update(EARLIER, phone="1"), update(LATER, phone=None)], (None, None)),
        ([update(LATER, phone=None), update(EARLIER, phone="1")], (None, None)),
        ([update(EARLIER, phone="1"), update(None, phone="2")], ("2", None)),
        ([update(LATER, phone="1"), update(None, phone="2")], ("1", None)),
        ([update(None, phone="1"), update(NOON, phone="2")], ("2", None)),
    ],
)
async def test_newest_fact_wins_and_at_a_tie_the_later_arrival(
    inbox: Inbox, updates: list[Event], known: tuple[str | None, str | None], batching: str
) -> None:
    await (inbox.takes(*updates) if batching == "one batch" else inbox.takes_each(*updates))

    assert await contact(inbox) == known


async def test_times_are_kept_for_each_field_by_itself(inbox: Inbox) -> None:
    await inbox.takes(update(LATER, phone="1"), update(EARLIER, locale="en"))

    [row] = await inbox.rows("SELECT phone_at, locale_at, sms, push FROM contacts")
    assert row == {"phone_at": LATER, "locale_at": EARLIER, "sms": True, "push": True}


async def test_update_leaves_the_switches_alone(inbox: Inbox) -> None:
    await inbox.rows("INSERT INTO contacts (user_id, sms, push) VALUES ($1, false, false)", BAT)

    await inbox.takes(update(phone="1"))

    assert await inbox.rows("SELECT phone, sms, push FROM contacts") == [{"phone": "1", "sms": False, "push": False}]


NOW_SIDE = [bill, payment, announcement]
LONG_AGO = [overdue, expiring]


def addressed(make: Any, recipient: Recipient) -> Fact:
    made: Fact = make(recipient) if make is announcement else make(recipient=recipient)
    return made


@pytest.mark.parametrize("make", NOW_SIDE)
async def test_phone_and_locale_in_the_event_beat_the_stored(inbox: Inbox, make: Any) -> None:
    await inbox.takes(update(phone="11111111", locale="mn"))

    await inbox.takes(event(addressed(make, Recipient(user_id=BAT, phone="22222222", locale="en"))))

    assert await reached(inbox) == ("22222222", "en")


@pytest.mark.parametrize("make", LONG_AGO)
async def test_stored_phone_and_locale_beat_what_was_decided_long_ago(inbox: Inbox, make: Any) -> None:
    await inbox.takes(update(phone="11111111", locale="en"))

    await inbox.takes(event(addressed(make, Recipient(user_id=BAT, phone="22222222", locale="mn"))))

    assert await reached(inbox) == ("11111111", "en")


@pytest.mark.parametrize("make", [*NOW_SIDE, *LONG_AGO])
async def test_what_the_event_does_not_say_is_looked_up(inbox: Inbox, make: Any) -> None:
    await inbox.takes(update(phone="11111111", locale="en"))

    await inbox.takes(event(addressed(make, Recipient(user_id=BAT))))

    assert await reached(inbox) == ("11111111", "en")


@pytest.mark.parametrize("make", [*NOW_SIDE, *LONG_AGO])
async def test_what_nobody_stored_is_taken_from_the_event_and_mongolian_is_the_default(inbox: Inbox, make: Any) -> None:
    await inbox.takes(event(addressed(make, Recipient(user_id=BAT, phone="22222222"))))

    assert await reached(inbox) == ("22222222", "mn")


@pytest.mark.parametrize("make", LONG_AGO)
async def test_forgotten_phone_is_not_brought_back_by_what_was_decided_long_ago(inbox: Inbox, make: Any) -> None:
    await inbox.takes(update(phone=None))

    await inbox.takes(event(addressed(make, Recipient(user_id=BAT, phone="22222222"))))

    assert ("sms", "suppressed no_phone") in await inbox.deliveries()


async def test_phone_in_an_event_is_used_and_not_kept(inbox: Inbox) -> None:
    await inbox.takes(event(bill(recipient=Recipient(user_id=BAT, phone="22222222", locale="en"))))

    assert await inbox.rows("SELECT * FROM contacts") == []


async def test_event_in_the_same_batch_sees_what_was_told_before_it(inbox: Inbox) -> None:
    someone = Recipient(user_id=BAT)

    await inbox.takes(
        update(phone="1"),
        event(bill("first", someone)),
        update(phone="2", locale="en"),
        event(bill("second", someone)),
    )

    assert [(sms.phone, sms.subject) for sms in await inbox.sms()] == [("1", "bill:first"), ("2", "bill:second")]


async def test_code_speaks_the_language_it_asks_for(inbox: Inbox) -> None:
    await inbox.takes(event(otp(locale="en")), event(otp()))

    assert [sms.text[:13] for sms in await inbox.sms()] == ["Spacehub code", "Spacehub код:"]


async def reached(inbox: Inbox) -> tuple[str, str]:
    [sms] = await inbox.sms()
    [delivery] = await inbox.rows("SELECT locale FROM deliveries WHERE channel = 'sms'")
    return sms.phone, delivery["locale"]
