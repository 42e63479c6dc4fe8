"""The end-to-end check: what has no end is asked for again under the same id, and nothing stays without an end."""

import asyncio
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from inbox_api.seals import BrokenSeal, Seal
from inbox_api.testing import (
    BAT,
    CHECK_AFTER,
    NOON,
    SARA,
    SEAL,
    Inbox,
    announcement,
    bill,
    event,
    expiring,
    otp,
    payment,
)
from pydantic import SecretStr
from spacehub.events import facts
from spacehub.events.envelope import Event
from spacehub.events.facts import Fact, Recipient
from spacehub.events.requests import SmsEndAsked
from spacehub.quiet_hours import parse

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
OTHER_SEAL = Seal(SecretStr("another key altogether"))


def sent(delivery: UUID, source_id: str = "bill") -> Event:
    return event(facts.SmsSent(sms_id=delivery, source_id=source_id, segments=1, attempts=1, duration_ms=9))


async def handed_on(inbox: Inbox, fact: Fact, *, id: str = "bill") -> UUID:
    """The SMS of `fact`, which has left for the broker; its id."""
    await inbox.takes(event(fact, id=id))
    await inbox.forwards()
    [row] = await inbox.rows("SELECT id FROM deliveries WHERE channel = 'sms' AND event_id = $1", id)
    number: UUID = row["id"]
    return number


async def looks(inbox: Inbox) -> list[dict[str, Any]]:
    return await inbox.rows("SELECT look_at, looked FROM unsettled ORDER BY delivery_id")


async def test_what_is_lost_on_its_way_is_asked_for_again_as_it_was(inbox: Inbox) -> None:
    inbox.goes_by(channels=frozenset({"push", "sms"}))
    await inbox.takes(event(bill(), id="bill"))
    before = await inbox.rows("SELECT message_id, lane, routing_key, body, content_type, subject, user_id FROM outbox")
    await inbox.forwards()
    inbox.waits(CHECK_AFTER)

    found = await inbox.checks()

    after = await inbox.rows("SELECT message_id, lane, routing_key, body, content_type, subject, user_id FROM outbox")
    assert found == {"forwarded": 2}
    assert sorted(after, key=str) == sorted(before, key=str)


async def test_critical_message_is_asked_for_again_on_its_lane(inbox: Inbox) -> None:
    await handed_on(inbox, announcement(critical=True))
    inbox.waits(CHECK_AFTER)

    await inbox.checks()

    assert await inbox.rows("SELECT lane, routing_key FROM outbox") == [
        {"lane": "critical", "routing_key": "sms.critical"}
    ]


async def test_nothing_is_asked_for_before_its_time(inbox: Inbox) -> None:
    await handed_on(inbox, bill())
    inbox.waits(CHECK_AFTER - timedelta(seconds=1))

    assert await inbox.checks() == {}
    assert await inbox.sms() == []


async def test_what_has_its_end_is_never_asked_for_again(inbox: Inbox) -> None:
    number = await handed_on(inbox, bill())
    await inbox.is_told(sent(number))
    inbox.waits(CHECK_AFTER)

    assert await inbox.checks() == {}
    assert await inbox.rows("SELECT * FROM unsettled") == []


async def test_what_was_withdrawn_before_it_left_is_forgotten_at_once(inbox: Inbox) -> None:
    await inbox.takes(event(bill(), id="bill"), event(bill("other"), id="other"))

    await inbox.takes(event(facts.BillCancelled(bill_id="123")))

    assert await inbox.rows("SELECT event_id FROM unsettled JOIN deliveries ON id = delivery_id") == [
        {"event_id": "other"}
    ]


@pytest.mark.parametrize(
    ("fact", "closing"),
    [
        (bill(), facts.BillCancelled(bill_id="123")),
        (bill(), facts.UserDeleted(user_id=BAT)),
        (expiring(), facts.ContractEnded(contract_id="5530")),
        (announcement(), facts.UserDeleted(user_id=BAT)),
    ],
)
async def test_what_was_closed_after_it_left_ends_as_withdrawn_unless_it_was_sent(
    inbox: Inbox, fact: Fact, closing: Fact
) -> None:
    number = await handed_on(inbox, fact)
    await inbox.takes(event(closing))
    inbox.waits(CHECK_AFTER)

    found = await inbox.checks()

    assert found == {"withdrawn": 1}
    assert await inbox.sms() == []
    assert ("sms", "suppressed withdrawn") in await inbox.deliveries("bill")
    await inbox.is_told(sent(number))
    assert ("sms", "sent") in await inbox.deliveries("bill")


async def test_receipt_is_asked_for_again_though_its_bill_is_closed(inbox: Inbox) -> None:
    await handed_on(inbox, payment(), id="paid")
    inbox.waits(CHECK_AFTER)

    assert await inbox.checks() == {"forwarded": 1}


async def test_what_still_waits_in_the_outbox_is_left_there(inbox: Inbox) -> None:
    await inbox.takes(event(bill(), id="bill"))
    inbox.waits(CHECK_AFTER)

    assert await inbox.checks() == {"waiting": 1}
    assert await looks(inbox) == [{"look_at": NOON + 2 * CHECK_AFTER, "looked": 0}]
    assert len(await inbox.sms()) == 1


async def test_waits_grow_to_an_hour_and_one_look_falls_on_the_expiry(inbox: Inbox) -> None:
    await handed_on(inbox, payment())
    waits = []

    for _ in range(30):
        [row] = await looks(inbox)
        waits.append((row["look_at"] - inbox.now) // MINUTE)
        inbox.now = row["look_at"]
        if await inbox.checks() != {"forwarded": 1}:
            break
        await inbox.forwards()

    assert waits == [10, 20, 40, *[60] * 22, 50, 10]
    assert inbox.now == NOON + 24 * HOUR + CHECK_AFTER
    assert ("sms", "unknown no_outcome") in await inbox.deliveries()


@pytest.mark.parametrize("kind", [facts.SmsSent, facts.SmsFailed, facts.SmsExpired, facts.SmsBlocked, facts.SmsUnknown])
async def test_later_outcome_wins_over_what_was_given_up(inbox: Inbox, kind: type[Any]) -> None:
    number = await handed_on(inbox, payment())
    inbox.waits(timedelta(days=2))
    assert await inbox.checks() == {"given_up": 1}

    told = kind(sms_id=number, source_id="bill", reason="because", segments=1, attempts=1, duration_ms=9)
    await inbox.is_told(event(told))

    [(_, _), (_, standing)] = await inbox.deliveries()
    assert standing == f"{kind.type.removeprefix('sms.')} because"


async def test_nothing_of_a_code_is_kept_and_only_its_end_is_asked_for(inbox: Inbox) -> None:
    number = await handed_on(inbox, otp())
    assert await inbox.rows("SELECT sealed, look_at FROM unsettled") == [
        {"sealed": None, "look_at": NOON + CHECK_AFTER}
    ]

    inbox.waits(CHECK_AFTER)
    found = await inbox.checks()

    [asked] = await inbox.requests()
    assert found == {"end_asked": 1}
    assert asked.data == SmsEndAsked(sms_id=number, critical=True)
    assert await inbox.rows("SELECT lane, routing_key FROM outbox") == [
        {"lane": "critical", "routing_key": "sms.critical"}
    ]


async def test_code_of_which_nobody_knows_is_given_up_after_it_was_asked_for(inbox: Inbox) -> None:
    await handed_on(inbox, otp(expires_in=120))
    inbox.waits(CHECK_AFTER)
    await inbox.checks()
    await inbox.forwards()
    inbox.waits(CHECK_AFTER)

    found = await inbox.checks()

    assert found == {"given_up": 1}
    assert await inbox.requests() == []
    assert await inbox.deliveries() == [("sms", "unknown no_outcome")]
    assert await inbox.rows("SELECT * FROM unsettled") == []


NIGHT = datetime.fromisoformat("2026-11-23T23:00:00+08:00")
MORNING = datetime.fromisoformat("2026-11-24T08:00:00+08:00")


async def test_what_was_deferred_is_looked_at_after_it_was_due(inbox: Inbox) -> None:
    inbox.goes_by(quiet_hours=parse("22:00-08:00"))
    inbox.now = NIGHT
    await inbox.takes(event(bill()))

    [row] = await inbox.rows("SELECT available_at, look_at FROM unsettled JOIN deliveries ON id = delivery_id")
    assert row["available_at"] >= MORNING
    assert row["look_at"] == row["available_at"] + CHECK_AFTER


async def test_in_quiet_hours_only_what_is_critical_is_asked_for_again(inbox: Inbox) -> None:
    await handed_on(inbox, bill())
    await handed_on(inbox, announcement(critical=True), id="fire")
    inbox.goes_by(quiet_hours=parse("22:00-08:00"))
    inbox.now = NIGHT

    found = await inbox.checks()

    assert found == {"resting": 1, "forwarded": 1}
    assert [sms.source_id for sms in await inbox.sms()] == ["fire"]
    assert {"look_at": MORNING + CHECK_AFTER, "looked": 0} in await looks(inbox)


async def test_neither_number_nor_text_can_be_read_where_it_is_kept(inbox: Inbox) -> None:
    await inbox.takes(event(announcement(Recipient(user_id=BAT, phone="99112277"), body="Нууц үг", title="Чухал")))

    [row] = await inbox.rows("SELECT sealed, delivery_id FROM unsettled")
    [kept] = await inbox.rows("SELECT body FROM outbox")
    assert SEAL.open(row["sealed"], of=row["delivery_id"]) == kept["body"]
    assert not any(secret.encode() in row["sealed"] for secret in ("99112277", "Нууц", "Чухал", "sms"))


async def test_seal_opens_under_its_key_and_for_its_delivery_only() -> None:
    sealed = SEAL.close(b"content", of=BAT)

    assert SEAL.open(sealed, of=BAT) == b"content"
    for seal, of, what in (
        (OTHER_SEAL, BAT, sealed),
        (SEAL, SARA, sealed),
        (SEAL, BAT, sealed[:-1] + bytes([sealed[-1] ^ 1])),
        (SEAL, BAT, sealed[:5]),
        (SEAL, BAT, b""),
    ):
        with pytest.raises(BrokenSeal):
            seal.open(what, of=of)
    assert SEAL.close(b"content", of=BAT) != sealed


async def test_wrong_key_is_told_and_holds_nothing_up(inbox: Inbox) -> None:
    await handed_on(inbox, bill())
    await handed_on(inbox, otp(), id="otp")
    inbox.waits(HOUR)

    assert await inbox.checks(seal=OTHER_SEAL) == {"unreadable": 1, "given_up": 1}
    assert await inbox.sms() == []
    assert await looks(inbox) == [{"look_at": NOON + HOUR + 20 * MINUTE, "looked": 1}]

    inbox.waits(20 * MINUTE)
    assert await inbox.checks() == {"forwarded": 1}


async def test_one_look_is_bounded_and_takes_what_is_longest_due_first(inbox: Inbox) -> None:
    for number in range(5):
        await inbox.takes(event(bill(str(number))))
        inbox.waits(MINUTE)
    await inbox.forwards()
    inbox.waits(CHECK_AFTER)

    assert await inbox.checks(most=3) == {"forwarded": 3}
    assert sorted(sms.subject or "" for sms in await inbox.sms()) == ["bill:0", "bill:1", "bill:2"]


async def test_many_who_check_at_once_ask_for_each_once(inbox: Inbox) -> None:
    await inbox.takes(*(event(bill(str(number))) for number in range(100)))
    await inbox.forwards()
    inbox.waits(CHECK_AFTER)

    found = await asyncio.gather(*(inbox.checks() for _ in range(8)))

    assert sum(one["forwarded"] for one in found if one) == 100
    assert {row["looked"] for row in await looks(inbox)} == {1}


async def test_checks_settlings_and_closings_at_once_end_everything_once(inbox: Inbox) -> None:
    await inbox.takes(*(event(bill(str(number)), id=str(number)) for number in range(90)))
    await inbox.forwards()
    inbox.waits(CHECK_AFTER)
    rows = await inbox.rows("SELECT id, event_id FROM deliveries WHERE channel = 'sms' ORDER BY id")
    told = [sent(row["id"], row["event_id"]) for row in rows if int(row["event_id"]) < 30]
    closed = [event(facts.BillCancelled(bill_id=str(number))) for number in range(30, 60)]

    await asyncio.gather(
        *(inbox.checks(most=40) for _ in range(6)),
        *(inbox.is_told(*told[start : start + 10]) for start in range(0, 30, 10)),
        *(inbox.takes(*closed[start : start + 10]) for start in range(0, 30, 10)),
    )
    inbox.waits(timedelta(days=30))
    await inbox.forwards()
    while await inbox.checks():
        pass

    standing = await inbox.rows("SELECT status, count(*) FROM deliveries WHERE channel = 'sms' GROUP BY 1 ORDER BY 1")
    assert [tuple(row.values()) for row in standing] == [("sent", 30), ("suppressed", 30), ("unknown", 30)]
    assert await inbox.rows("SELECT * FROM unsettled") == []


async def test_closing_waits_for_a_check_and_withdraws_what_it_handed_on(inbox: Inbox) -> None:
    for number in range(20):
        await handed_on(inbox, bill(str(number)), id=str(number))
        inbox.waits(HOUR)

        await asyncio.gather(inbox.checks(), inbox.takes(event(facts.BillCancelled(bill_id=str(number)))))

        assert [sms for sms in await inbox.sms() if sms.subject == f"bill:{number}"] == []
