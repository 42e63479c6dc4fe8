"""However events are cut into batches and however batches overlap, the outcome is that of one at a time."""

import asyncio
import random
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from inbox_api import notifying
from inbox_api.subject_rows import lock_key
from inbox_api.testing import (
    NOON,
    OWNER,
    Inbox,
    announcement,
    bill,
    event,
    expiring,
    otp,
    overdue,
    payment,
    signed,
)
from spacehub import database
from spacehub.events import facts
from spacehub.events.envelope import Event
from spacehub.events.facts import Fact, Recipient
from spacehub.testing.waiting import eventually

USERS = [UUID(int=number) for number in range(9)]
THINGS = ["1", "2", "3"]


def random_events(dice: random.Random, count: int) -> list[Event]:
    """Events about few users, bills and contracts, so that they get in each other's way; some come twice."""
    events: list[Event] = []
    for number in range(count):
        if events and dice.random() < 0.1:
            events.append(dice.choice(events))
        else:
            at = dice.choice([None, NOON + timedelta(minutes=dice.randrange(-5, 6))])
            events.append(event(random_fact(dice), at=at, id=f"event-{number:03}"))
    return events


def random_fact(dice: random.Random) -> Fact:
    who = Recipient(user_id=dice.choice(USERS), phone=dice.choice([None, "99112233"]), locale=dice.choice([None, "en"]))
    about = dice.choice(THINGS)
    crowd = tuple(Recipient(user_id=user) for user in dice.choices(USERS, k=3))
    changes: dict[str, Any] = {}
    if dice.random() < 0.7:
        changes["phone"] = dice.choice([None, "88001122", "95051122"])
    if dice.random() < 0.7:
        changes["locale"] = dice.choice(["mn", "en"])
    kinds: list[tuple[int, Fact]] = [
        (6, bill(about, who)),
        (3, overdue(about, who)),
        (2, payment(about, who)),
        (1, facts.BillCancelled(bill_id=about)),
        (4, expiring(about, who)),
        (2, signed(about, who)),
        (2, facts.ContractEnded(contract_id=about)),
        (4, announcement(*crowd)),
        (2, announcement(*crowd, critical=True)),
        (4, facts.UserUpdated(user_id=who.user_id, **changes)),
        (1, facts.UserDeleted(user_id=who.user_id)),
        (1, otp()),
        (1, facts.SmsBudgetThresholdReached(owner_id=OWNER, month="2026-11", level=80, used=4, limit=5)),
    ]
    [chosen] = dice.choices([fact for _, fact in kinds], weights=[weight for weight, _ in kinds])
    return chosen


def cut(dice: random.Random, events: list[Event]) -> Iterator[list[Event]]:
    while events:
        length = dice.randrange(1, 12)
        yield events[:length]
        events = events[length:]


async def everything(inbox: Inbox) -> dict[str, list[dict[str, Any]]]:
    queries = {
        "events": "SELECT event_id, source, type, occurred_at FROM events",
        "contacts": "SELECT * FROM contacts WHERE phone_at IS NOT NULL OR locale_at IS NOT NULL",
        "closings": "SELECT * FROM closings",
        "feeds": "SELECT * FROM feeds",
        "notifications": "SELECT * FROM notifications",
        "deliveries": "SELECT * FROM deliveries",
        "unsettled": "SELECT delivery_id, sealed IS NULL AS unkept, look_at FROM unsettled",
        "outbox": "SELECT message_id, lane, exchange, routing_key, body, subject, user_id FROM outbox",
    }
    return {table: await inbox.rows(f"{query} ORDER BY 1, 2") for table, query in queries.items()}


@pytest.mark.parametrize("seed", range(10))
async def test_batches_end_as_the_same_events_one_at_a_time(inbox: Inbox, another_inbox: Inbox, seed: int) -> None:
    dice = random.Random(seed)
    events = random_events(dice, 120)

    await inbox.takes_each(*events)
    for batch in cut(dice, events):
        await another_inbox.takes(*batch)

    assert await everything(another_inbox) == await everything(inbox)


@pytest.mark.parametrize("seed", range(6))
async def test_overlapping_batches_wait_for_each_other_and_never_deadlock(inbox: Inbox, seed: int) -> None:
    dice = random.Random(seed)
    events = random_events(dice, 400)
    orders = [dice.sample(events, len(events)) for _ in range(3)]

    async def consume(order: list[Event]) -> None:
        for batch in cut(random.Random(seed), order):
            await inbox.takes(*batch)

    await asyncio.gather(*map(consume, orders))

    # A deadlock would have come out of `takes` as Away.
    assert len(await inbox.rows("SELECT 1 FROM events")) == len({told.id for told in events})
    await assert_consistent(inbox)


PEOPLE = [UUID(int=number) for number in range(40)]


@pytest.mark.parametrize(
    "make",
    [
        lambda user: event(otp(code=f"{user.int:06}"), id=f"copy-{user.int}"),
        lambda user: event(bill(f"{uuid4()}", Recipient(user_id=user))),
        lambda user: event(facts.UserUpdated(user_id=user, phone="99112233")),
        lambda user: event(payment(f"{user.int}", Recipient(user_id=user))),
        lambda user: event(facts.UserDeleted(user_id=user)),
    ],
    ids=["same events", "same feeds", "same contacts", "same subjects", "same users"],
)
async def test_whatever_two_batches_both_want_is_locked_in_one_order(
    inbox: Inbox, make: Callable[[UUID], Event]
) -> None:
    dice = random.Random(0)
    for _ in range(15):
        batches = [[make(user) for user in dice.sample(PEOPLE, len(PEOPLE))] for _ in range(4)]

        await asyncio.gather(*(inbox.takes(*batch) for batch in batches))

        await inbox.rows("TRUNCATE events, deliveries, unsettled, outbox")


async def assert_consistent(inbox: Inbox) -> None:
    """What must hold whatever the order: counters fit the rows, numbers have no gap, requests fit the deliveries."""
    assert (
        await inbox.rows(
            "SELECT f.user_id FROM feeds f LEFT JOIN (SELECT user_id, count(*) AS rows, max(seq) AS last"
            "  FROM notifications GROUP BY user_id) n USING (user_id)"
            " WHERE (f.last_seq, f.unread) IS DISTINCT FROM (n.last, n.rows) OR n.last IS DISTINCT FROM n.rows"
        )
        == []
    )
    assert (
        await inbox.rows(
            "SELECT d.id FROM deliveries d FULL JOIN outbox o ON o.message_id = d.id::text"
            " LEFT JOIN unsettled u ON u.delivery_id = d.id"
            " WHERE (d.status = 'pending') IS DISTINCT FROM (o.id IS NOT NULL)"
            " OR (d.status = 'pending') IS DISTINCT FROM (u.delivery_id IS NOT NULL)"
        )
        == []
    )
    assert (
        await inbox.rows(
            "SELECT d.id FROM deliveries d FULL JOIN notifications n ON n.id = d.id"
            " WHERE (d.channel = 'inbox' AND d.status = 'sent' AND NOT EXISTS"
            "        (SELECT FROM closings WHERE closed AND subject = 'user:' || d.user_id))"
            "   IS DISTINCT FROM (n.id IS NOT NULL)"
        )
        == []
    )
    assert (
        await inbox.rows(
            "SELECT o.id FROM outbox o JOIN closings c ON c.subject IN (o.subject, 'user:' || o.user_id) WHERE c.closed"
        )
        == []
    )


@pytest.mark.parametrize("closing", [payment("1"), facts.UserDeleted(user_id=USERS[0])])
async def test_closing_and_writing_of_one_subject_take_turns(inbox: Inbox, closing: Fact) -> None:
    """Fifty times both at once: whoever is first, nothing of what is closed is left to send."""
    who = Recipient(user_id=USERS[0], phone="99112233")
    for number in range(50):
        about = bill("1", who, amount=number)
        await asyncio.gather(inbox.takes(event(about)), inbox.takes(event(closing)), inbox.takes(event(about)))

        assert [sms.text for sms in await inbox.sms() if sms.about == "bill.issued"] == []
        await inbox.rows("TRUNCATE closings, outbox")


@pytest.mark.parametrize("alone", [True, False])
async def test_writer_waits_for_one_who_closes_and_shares_with_one_who_writes(inbox: Inbox, alone: bool) -> None:
    hold = "SELECT pg_advisory_xact_lock($1)" if alone else "SELECT pg_advisory_xact_lock_shared($1)"
    async with database.transaction(inbox.pool) as other:
        await other.execute(hold, lock_key("bill:1"))
        writing = asyncio.create_task(inbox.takes(event(bill("1"))))
        if alone:
            await eventually(lambda: inbox.rows("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"))
            assert not writing.done()
        else:
            await writing

    await writing


async def test_big_batches_are_cut_by_the_people_they_reach() -> None:
    crowd = [Recipient(user_id=UUID(int=number)) for number in range(900)]
    events = [event(announcement(*crowd)) for _ in range(5)] + [event(otp()) for _ in range(3)]

    portions = list(notifying.portions(events))

    assert [len(portion) for portion in portions] == [2, 2, 4]
    assert [one for portion in portions for one in portion] == events
