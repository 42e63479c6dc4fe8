"""What the senders tell goes on record once, and the end that stays is the true one."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from inbox_api.testing import BAT, NOON, Inbox, bill, event, payment
from spacehub.errors import PermanentFailure
from spacehub.events import facts
from spacehub.events.envelope import Event

FIGURES = {"source_id": "bill", "segments": 1, "attempts": 1, "duration_ms": 87}
LATER = NOON + timedelta(minutes=1)


async def an_sms(inbox: Inbox) -> UUID:
    """The id of an SMS that waits for its end."""
    await inbox.takes(event(bill(), id="bill"))
    [row] = await inbox.rows("SELECT id FROM deliveries WHERE channel = 'sms'")
    number: UUID = row["id"]
    return number


def sms(number: UUID, how: str, *, at: datetime | None = NOON, reason: str | None = None, **more: Any) -> Event:
    kinds = (facts.SmsSent, facts.SmsFailed, facts.SmsExpired, facts.SmsBlocked, facts.SmsUnknown)
    [kind] = [kind for kind in kinds if kind.type == f"sms.{how}"]
    return event(kind(sms_id=number, reason=reason, **{**FIGURES, **more}), at=at, source="/sms-sender")


async def standing(inbox: Inbox) -> str:
    [(_, told)] = [delivery for delivery in await inbox.deliveries() if delivery[0] == "sms"]
    return told


async def test_sent_sms_is_on_record_with_its_figures(inbox: Inbox) -> None:
    number = await an_sms(inbox)

    await inbox.is_told(sms(number, "sent", at=LATER, message_id="m-1", segments=2, attempts=3, duration_ms=412))

    [row] = await inbox.rows("SELECT * FROM deliveries WHERE id = $1", number)
    assert (row["status"], row["reason"], row["ended_at"]) == ("sent", None, LATER)
    assert (row["message_id"], row["segments"], row["attempts"], row["duration_ms"]) == ("m-1", 2, 3, 412)


@pytest.mark.parametrize(
    ("how", "reason", "on_record"),
    [
        ("failed", "invalid_phone", "failed invalid_phone"),
        ("failed", "retries_exhausted", "failed retries_exhausted"),
        ("expired", "expired", "expired expired"),
        ("blocked", "budget", "blocked budget"),
        ("blocked", "rate_limited", "blocked rate_limited"),
        ("blocked", "withdrawn", "suppressed withdrawn"),
        ("unknown", "timeout", "unknown timeout"),
    ],
)
async def test_other_ends_say_why(inbox: Inbox, how: str, reason: str, on_record: str) -> None:
    number = await an_sms(inbox)

    await inbox.is_told(sms(number, how, reason=reason))

    assert await standing(inbox) == on_record


@pytest.mark.parametrize("batching", ["one batch", "a batch each"])
@pytest.mark.parametrize(
    ("first", "second", "at", "on_record"),
    [
        (("sent", None), ("failed", "invalid_phone"), LATER, "sent"),
        (("sent", None), ("unknown", "timeout"), LATER, "sent"),
        (("failed", "invalid_phone"), ("sent", None), LATER, "failed invalid_phone"),
        (("expired", "expired"), ("sent", None), LATER, "expired expired"),
        (("blocked", "budget"), ("sent", None), LATER, "blocked budget"),
        (("unknown", "timeout"), ("sent", None), LATER, "sent"),
        (("unknown", "timeout"), ("failed", "by_hand"), LATER, "failed by_hand"),
        (("unknown", "timeout"), ("expired", "expired"), LATER, "unknown timeout"),
        (("failed", "retries_exhausted"), ("sent", None), LATER, "sent"),
        (("failed", "retries_exhausted"), ("expired", "expired"), LATER, "expired expired"),
        (("failed", "retries_exhausted"), ("sent", None), NOON - timedelta(minutes=1), "failed retries_exhausted"),
        (("blocked", "withdrawn"), ("sent", None), LATER, "sent"),
        (("blocked", "withdrawn"), ("failed", "invalid_phone"), LATER, "suppressed withdrawn"),
    ],
)
async def test_end_stays_but_for_the_named_exceptions(
    inbox: Inbox, first: tuple[str, str], second: tuple[str, str], at: datetime, on_record: str, batching: str
) -> None:
    number = await an_sms(inbox)
    told = sms(number, first[0], reason=first[1]), sms(number, second[0], reason=second[1], at=at)

    for batch in [told] if batching == "one batch" else [[one] for one in told]:
        await inbox.is_told(*batch)

    assert await standing(inbox) == on_record


async def test_repeat_changes_nothing(inbox: Inbox) -> None:
    number = await an_sms(inbox)
    await inbox.is_told(sms(number, "failed", reason="retries_exhausted", attempts=5))
    before = await inbox.rows("SELECT * FROM deliveries")

    await inbox.is_told(sms(number, "failed", reason="retries_exhausted", attempts=6))

    assert await inbox.rows("SELECT * FROM deliveries") == before


async def test_outcome_without_a_time_happened_when_it_came(inbox: Inbox) -> None:
    number = await an_sms(inbox)
    inbox.waits(timedelta(minutes=3))

    await inbox.is_told(sms(number, "sent", at=None))

    [row] = await inbox.rows("SELECT ended_at FROM deliveries WHERE id = $1", number)
    assert row["ended_at"] == NOON + timedelta(minutes=3)


async def test_batch_settles_each_delivery_and_passes_over_strangers(inbox: Inbox) -> None:
    first = await an_sms(inbox)
    await inbox.takes(event(payment(), id="paid"))
    [row] = await inbox.rows("SELECT id FROM deliveries WHERE channel = 'sms' AND event_id = 'paid'")

    await inbox.is_told(sms(first, "sent"), sms(uuid4(), "sent"), sms(row["id"], "failed", reason="invalid_phone"))

    assert await inbox.deliveries("bill") == [("inbox", "sent"), ("sms", "sent")]
    assert await inbox.deliveries("paid") == [("inbox", "sent"), ("sms", "failed invalid_phone")]


@pytest.mark.parametrize(
    ("sent", "dead", "reason", "on_record"),
    [
        (2, 1, None, "sent"),
        (0, 0, "no_devices", "failed no_devices"),
        (0, 0, "withdrawn", "suppressed withdrawn"),
        (0, 0, "expired", "expired expired"),
    ],
)
async def test_push_is_on_record_with_its_devices(
    inbox: Inbox, sent: int, dead: int, reason: str | None, on_record: str
) -> None:
    inbox.goes_by(channels=frozenset({"push"}))
    await inbox.takes(event(bill(), id="bill"))
    [row] = await inbox.rows("SELECT id FROM deliveries")
    kind = facts.PushSent if sent else facts.PushFailed

    told = kind(push_id=row["id"], source_id="bill", user_id=BAT, sent=sent, dead=dead, reason=reason)
    await inbox.is_told(event(told))

    [after] = await inbox.rows("SELECT devices_reached, devices_dead FROM deliveries")
    assert await inbox.deliveries() == [("push", on_record)]
    assert after == {"devices_reached": sent, "devices_dead": dead}


async def test_what_is_no_outcome_is_refused(inbox: Inbox) -> None:
    with pytest.raises(PermanentFailure, match=r"^no_subscriber: bill\.issued$"):
        await inbox.is_told(event(bill()))
