"""What has lost its meaning is not sent: closings withdraw what waits and stop what comes later."""

from datetime import timedelta

import pytest
from inbox_api.testing import (
    BAT,
    NOON,
    SARA,
    Inbox,
    announcement,
    bill,
    event,
    expiring,
    overdue,
    payment,
    signed,
)
from spacehub.events import facts
from spacehub.events.envelope import Event
from spacehub.events.facts import Fact, Recipient

EARLIER, LATER = NOON - timedelta(hours=1), NOON + timedelta(hours=1)

CANCELLED = facts.BillCancelled(bill_id="123")
ENDED = facts.ContractEnded(contract_id="5530")
DELETED = facts.UserDeleted(user_id=BAT)

CLOSINGS = [(bill(), payment()), (overdue(), payment()), (bill(), CANCELLED), (expiring(), ENDED), (bill(), DELETED)]


@pytest.mark.parametrize("batching", ["one batch", "a batch each"])
@pytest.mark.parametrize(("spoken", "closing"), CLOSINGS)
async def test_closing_withdraws_the_sms_that_waits(inbox: Inbox, spoken: Fact, closing: Fact, batching: str) -> None:
    inbox.goes_by(channels=frozenset({"inbox", "push", "sms"}))
    events = event(spoken, id="spoken"), event(closing)

    await (inbox.takes(*events) if batching == "one batch" else inbox.takes_each(*events))

    assert await inbox.deliveries("spoken") == [
        ("inbox", "sent"),
        ("push", "suppressed withdrawn"),
        ("sms", "suppressed withdrawn"),
    ]
    assert [request for request in await inbox.requests() if request.data.model_dump()["source_id"] == "spoken"] == []
    assert await inbox.rows("SELECT DISTINCT ended_at FROM deliveries WHERE reason = 'withdrawn'") == [
        {"ended_at": NOON}
    ]


@pytest.mark.parametrize("batching", ["one batch", "a batch each"])
@pytest.mark.parametrize(("spoken", "closing"), CLOSINGS)
async def test_nothing_of_what_is_closed_appears_later(
    inbox: Inbox, spoken: Fact, closing: Fact, batching: str
) -> None:
    events = event(closing), event(spoken, id="spoken")

    await (inbox.takes(*events) if batching == "one batch" else inbox.takes_each(*events))

    assert await inbox.deliveries("spoken") == [("inbox", "suppressed withdrawn"), ("sms", "suppressed withdrawn")]
    assert all(row["type"] != spoken.type for row in await inbox.feed(BAT))


@pytest.mark.parametrize("batching", ["one batch", "a batch each"])
async def test_payment_sends_its_receipt_and_a_second_one_never_withdraws_it(inbox: Inbox, batching: str) -> None:
    events = event(bill()), event(payment(), id="paid"), event(payment(payment_id="2"), id="again"), event(CANCELLED)

    await (inbox.takes(*events) if batching == "one batch" else inbox.takes_each(*events))

    assert [sms.source_id for sms in await inbox.sms()] == ["paid", "again"]


async def test_other_bills_stay(inbox: Inbox) -> None:
    await inbox.takes(event(bill("123")), event(bill("124")))

    await inbox.takes(event(CANCELLED), event(bill("125")))

    assert [sms.subject for sms in await inbox.sms()] == ["bill:124", "bill:125"]


async def test_what_has_left_for_the_broker_stays_pending(inbox: Inbox) -> None:
    await inbox.takes(event(bill(), id="spoken"))
    await inbox.rows("DELETE FROM outbox")

    await inbox.takes(event(CANCELLED))

    assert await inbox.deliveries("spoken") == [("inbox", "sent"), ("sms", "pending")]


@pytest.mark.parametrize("batching", ["one batch", "a batch each"])
@pytest.mark.parametrize(
    ("facts_in_order", "appears"),
    [
        ([event(ENDED, at=EARLIER), event(signed(), at=LATER)], True),
        ([event(ENDED, at=LATER), event(signed(), at=EARLIER)], False),
        ([event(signed(), at=LATER), event(ENDED, at=EARLIER)], True),
        ([event(signed(), at=EARLIER), event(ENDED, at=LATER)], False),
        ([event(ENDED, at=NOON), event(signed(), at=NOON)], True),
        ([event(signed(), at=NOON), event(ENDED, at=NOON)], False),
        ([event(ENDED), event(signed(), at=EARLIER)], False),
        ([event(ENDED, at=LATER), event(signed())], False),
    ],
)
async def test_newest_fact_says_whether_a_contract_is_closed(
    inbox: Inbox, facts_in_order: list[Event], appears: bool, batching: str
) -> None:
    events = *facts_in_order, event(expiring(), id="spoken")

    await (inbox.takes(*events) if batching == "one batch" else inbox.takes_each(*events))

    assert (await inbox.deliveries("spoken"))[0] == ("inbox", "sent" if appears else "suppressed withdrawn")


async def test_end_older_than_the_renewal_withdraws_nothing(inbox: Inbox) -> None:
    await inbox.takes_each(event(signed(), at=LATER), event(expiring(), id="spoken"))

    await inbox.takes(event(ENDED, at=EARLIER))

    assert await inbox.deliveries("spoken") == [("inbox", "sent"), ("sms", "pending")]


async def test_deleted_user_is_forgotten_and_nothing_reaches_them(inbox: Inbox) -> None:
    crowd = announcement(Recipient(user_id=BAT, phone="99112233"), Recipient(user_id=SARA, phone="88001122"))
    await inbox.takes(event(facts.UserUpdated(user_id=BAT, phone="99112233")), event(crowd))

    await inbox.takes(event(DELETED))
    await inbox.takes(event(crowd, id="later"))

    assert await inbox.rows("SELECT * FROM contacts") == []
    assert [sms.user_id for sms in await inbox.sms()] == [SARA, SARA]
    assert await inbox.rows("SELECT phone_hash FROM deliveries WHERE event_id = 'later' AND user_id = $1", BAT) == [
        {"phone_hash": None},
        {"phone_hash": None},
    ]


@pytest.mark.parametrize("batching", ["one batch", "a batch each"])
async def test_late_update_does_not_bring_a_deleted_user_back(inbox: Inbox, batching: str) -> None:
    events = event(DELETED, at=NOON), event(facts.UserUpdated(user_id=BAT, phone="99112233"), at=LATER)

    await (inbox.takes(*events) if batching == "one batch" else inbox.takes_each(*events))

    assert await inbox.rows("SELECT phone FROM contacts WHERE phone IS NOT NULL") == []


async def test_tombstone_says_which_event_closed_it(inbox: Inbox) -> None:
    await inbox.takes(event(payment(), id="paid", source="/billing", at=EARLIER))

    assert await inbox.rows("SELECT * FROM closings") == [
        {"subject": "bill:123", "closed": True, "decided_at": EARLIER, "source": "/billing", "event_id": "paid"}
    ]
