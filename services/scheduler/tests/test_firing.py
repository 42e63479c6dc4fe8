"""What is due fires at its second, once, and what must not fire never does."""

from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest
from scheduler.testing import OWNER, PHONE, TENANT, Stage, cancelled, deleted, ended, issued, paid, signed, told
from spacehub.events import facts
from spacehub.events.facts import Recipient

SECOND = timedelta(seconds=1)
OTHER = UUID("0b8f5f0e-6f1d-4c0a-9a53-2f0c7f9d1a02")


def at(text: str) -> datetime:
    """A moment in Ulaanbaatar."""
    return datetime.fromisoformat(f"{text}+08:00")


BILLS = [
    pytest.param("2026-11-24", "2026-11-25T10:00:00", id="due today"),
    pytest.param("2026-11-25", "2026-11-26T10:00:00", id="due tomorrow"),
    pytest.param("2026-11-29", "2026-11-30T10:00:00", id="in five days"),
    pytest.param("2026-12-31", "2027-01-01T10:00:00", id="year's end"),
    pytest.param("2028-02-28", "2028-02-29T10:00:00", id="overdue on the leap day"),
    pytest.param("2028-02-29", "2028-03-01T10:00:00", id="due on the leap day"),
]


@pytest.mark.parametrize(("due_date", "overdue"), BILLS)
async def test_bill_is_overdue_to_the_second(stage: Stage, due_date: str, overdue: str) -> None:
    await stage.learn(issued("A", date.fromisoformat(due_date)))

    early = await stage.fire(at(overdue) - SECOND)
    assert (await stage.outbox(), early.next_at) == ([], at(overdue))

    await stage.fire(at(overdue))
    await stage.fire(at(overdue) + SECOND)
    assert [event.data.type for event in await stage.outbox()] == ["bill.overdue"]


CONTRACTS = [
    pytest.param("2026-11-29", "2026-11-24T12:00:00", id="in five days, ten has passed"),
    pytest.param("2026-11-30", "2026-11-25T10:00:00", id="in six days"),
    pytest.param("2027-01-01", "2026-12-27T10:00:00", id="new year"),
    pytest.param("2027-01-03", "2026-12-29T10:00:00", id="across the year's end"),
    pytest.param("2028-03-05", "2028-02-29T10:00:00", id="expiring on the leap day"),
    pytest.param("2028-02-29", "2028-02-24T10:00:00", id="ends on the leap day"),
]


@pytest.mark.parametrize(("ends_on", "expiring"), CONTRACTS)
async def test_contract_expires_to_the_second(stage: Stage, ends_on: str, expiring: str) -> None:
    learned_at = at("2026-11-24T11:59:59")
    await stage.learn(signed("5530", date.fromisoformat(ends_on)), at=learned_at)

    if at(expiring) > at("2026-11-24T12:00:00"):
        await stage.fire(at(expiring) - SECOND)
        assert await stage.outbox() == []

    await stage.fire(at(expiring))
    await stage.fire(at(expiring) + SECOND)
    assert [event.data.type for event in await stage.outbox()] == ["contract.expiring"]


@pytest.mark.parametrize(
    ("ends_on", "now", "fires"),
    [
        ("2026-11-25", "2026-11-24T12:00:00", True),
        ("2026-11-24", "2026-11-24T00:00:00", True),
        ("2026-11-24", "2026-11-24T23:59:59", True),
        ("2026-11-24", "2026-11-25T00:00:00", False),
        ("2026-11-23", "2026-11-24T00:00:00", False),
        ("2020-01-01", "2026-11-24T12:00:00", False),
        ("2028-02-29", "2028-02-29T23:59:59", True),
        ("2028-02-29", "2028-03-01T00:00:00", False),
        ("2026-12-31", "2026-12-31T23:59:59", True),
        ("2026-12-31", "2027-01-01T00:00:00", False),
    ],
)
async def test_late_news_of_a_contract_fires_until_its_last_second(
    stage: Stage, ends_on: str, now: str, fires: bool
) -> None:
    await stage.learn(signed("5530", date.fromisoformat(ends_on)), at=at(now))
    await stage.fire(at(now))

    assert len(await stage.outbox()) == fires


async def test_contract_whose_last_day_ended_while_the_clock_stood_still_never_fires(stage: Stage) -> None:
    await stage.learn(signed("5530", date(2026, 12, 5)))

    after_it = await stage.fire(at("2026-12-06T00:00:00"))

    assert (await stage.outbox(), after_it.counts.total()) == ([], 0)
    assert await stage.timers() == {"contract:5530": "lapsed"}


@pytest.mark.parametrize("closing", [paid("A"), cancelled("A")], ids=["paid", "cancelled"])
@pytest.mark.parametrize("first", ["bill", "closing"])
async def test_bill_that_was_closed_never_fires(stage: Stage, closing: facts.Fact, first: str) -> None:
    bill = issued("A", date(2026, 11, 20))
    for fact in (bill, closing) if first == "bill" else (closing, bill):
        await stage.learn(fact)

    await stage.fire()

    assert await stage.outbox() == []
    assert await stage.timers() == {"bill:A": "closed"}


async def test_events_say_what_the_contract_says(stage: Stage) -> None:
    await stage.learn(issued("A", date(2026, 11, 20)), signed("5530", date(2026, 11, 27), user=OTHER))
    await stage.fire()

    overdue, expiring = sorted(await stage.outbox(), key=lambda event: event.data.type)

    assert overdue.data == facts.BillOverdue(
        bill_id="A",
        owner_id=OWNER,
        recipient=Recipient(user_id=TENANT, phone=PHONE, locale="mn"),
        amount=1_250_000,
        due_date=date(2026, 11, 20),
    )
    assert expiring.data == facts.ContractExpiring(
        contract_id="5530",
        owner_id=OWNER,
        recipient=Recipient(user_id=OTHER, phone=PHONE),
        property="Зайсан Плаза",
        unit="1201",
        ends_on=date(2026, 11, 27),
    )
    assert {overdue.source, expiring.source} == {"/scheduler"}
    assert {overdue.time, expiring.time} == {stage.clock.moment}


async def test_renewal_after_the_warning_fires_anew_for_the_new_last_day(stage: Stage) -> None:
    await stage.learn(signed("5530", date(2026, 11, 27)))
    await stage.fire()
    first = await stage.publish()

    await stage.learn(signed("5530", date(2027, 11, 27)))
    await stage.fire(at("2027-11-22T09:59:59"))
    assert await stage.outbox() == []
    await stage.fire(at("2027-11-22T10:00:00"))

    second = await stage.publish()
    assert [len(first), len(second)] == [1, 1]
    assert first[0].id != second[0].id


async def test_late_renewal_fires_at_once_and_its_old_warning_is_taken_back(stage: Stage) -> None:
    await stage.learn(signed("5530", date(2026, 11, 25)))
    await stage.fire()

    await stage.learn(signed("5530", date(2026, 11, 28)))
    await stage.fire()

    [event] = await stage.outbox()
    assert isinstance(event.data, facts.ContractExpiring)
    assert event.data.ends_on == date(2026, 11, 28)


@pytest.mark.parametrize(
    ("new_date", "fires_again"), [(date(2026, 11, 22), True), (date(2026, 11, 20), False), (date(2026, 11, 18), False)]
)
async def test_bill_issued_anew_after_it_was_overdue_fires_again_only_for_a_later_date(
    stage: Stage, new_date: date, fires_again: bool
) -> None:
    await stage.learn(issued("A", date(2026, 11, 20)))
    await stage.fire()
    await stage.publish()

    await stage.learn(issued("A", new_date, amount=2))
    await stage.fire()

    assert len(await stage.outbox()) == fires_again


async def test_contract_signed_again_for_the_same_day_is_not_told_twice(stage: Stage) -> None:
    await stage.learn(signed("5530", date(2026, 11, 27)))
    await stage.fire()
    await stage.publish()

    await stage.learn(ended("5530"))
    await stage.learn(signed("5530", date(2026, 11, 27)))
    await stage.fire()

    assert await stage.outbox() == []


async def test_warning_taken_back_before_anybody_heard_it_fires_when_the_contract_is_signed_again(stage: Stage) -> None:
    await stage.learn(signed("5530", date(2026, 11, 27)))
    await stage.fire()

    await stage.learn(ended("5530"))
    assert await stage.outbox() == []
    await stage.learn(signed("5530", date(2026, 11, 27)))
    await stage.fire()

    assert len(await stage.outbox()) == 1


async def test_payment_takes_back_a_reminder_that_was_not_published_yet(stage: Stage) -> None:
    await stage.learn(issued("A", date(2026, 11, 20)), issued("B", date(2026, 11, 20)))
    await stage.fire()

    await stage.learn(paid("A"))

    [event] = await stage.outbox()
    assert isinstance(event.data, facts.BillOverdue)
    assert event.data.bill_id == "B"


async def test_deleted_user_is_told_nothing_and_nothing_of_them_is_kept(stage: Stage) -> None:
    await stage.learn(issued("waiting", date(2026, 11, 30)), issued("fired", date(2026, 11, 20)))
    await stage.fire()

    await stage.learn(deleted(TENANT))
    await stage.learn(issued("late", date(2026, 11, 20)), issued("other's", date(2026, 11, 20), user=OTHER))
    await stage.fire(at("2027-01-01T00:00:00"))

    assert [event.data.bill_id for event in await stage.outbox() if isinstance(event.data, facts.BillOverdue)] == [
        "other's"
    ]
    assert await stage.timers() == {
        "bill:waiting": "void",
        "bill:fired": "fired",
        "bill:late": "void",
        "bill:other's": "fired",
    }


@pytest.mark.parametrize("order", ["bill first", "deletion first"])
async def test_deletion_holds_within_a_batch_whatever_the_order(stage: Stage, order: str) -> None:
    bill, deletion = told(issued("A", date(2026, 11, 20))), told(deleted(TENANT))

    await stage.learn(*((bill, deletion) if order == "bill first" else (deletion, bill)))
    await stage.fire()

    assert await stage.outbox() == []


async def test_copy_of_a_fact_changes_nothing_even_after_it_fired(stage: Stage) -> None:
    first, second = told(issued("A", date(2026, 11, 20))), told(issued("A", date(2026, 11, 30)))
    await stage.learn(first, first)
    await stage.learn(second, first)
    assert (await stage.fire()).next_at == at("2026-12-01T10:00:00")

    await stage.fire(at("2026-12-01T10:00:00"))
    await stage.learn(second, first, at=datetime(2027, 1, 1, tzinfo=UTC))
    await stage.fire()

    assert len(await stage.outbox()) == 1


async def test_same_id_from_another_source_is_another_fact(stage: Stage) -> None:
    first = told(signed("5530", date(2026, 12, 31)), id="1")
    await stage.learn(first)

    await stage.learn(type(first)("1", "/billing", issued("A", date(2026, 11, 20))))
    await stage.fire()

    assert len(await stage.outbox()) == 1


async def test_a_backlog_is_released_at_the_given_rate_by_all_schedulers_together(stage: Stage) -> None:
    stage.rate = 5.0
    await stage.learn(*(issued(f"{number:02}", date(2026, 10, 1 + number)) for number in range(12)))
    start, counts = stage.clock.moment, []

    for second in range(4):
        rounds = [await stage.fire(start + second * SECOND) for _ in range(3)]
        early = await stage.fire(start + (second + 1) * SECOND - timedelta(microseconds=1))
        counts.append([each.counts.total() for each in (*rounds, early)])

    assert counts == [[5, 0, 0, 0], [5, 0, 0, 0], [2, 0, 0, 0], [0, 0, 0, 0]]
    bills = [event.data.bill_id for event in await stage.outbox() if isinstance(event.data, facts.BillOverdue)]
    assert bills == [f"{number:02}" for number in range(12)]


async def test_slow_rate_still_fires_one_at_a_time(stage: Stage) -> None:
    stage.rate = 0.5
    await stage.learn(*(issued(f"{number}", date(2026, 11, 1)) for number in range(2)))

    start = stage.clock.moment
    first = await stage.fire(start)
    early = await stage.fire(start + SECOND)
    second = await stage.fire(start + 2 * SECOND)

    assert [first.counts.total(), early.counts.total(), second.counts.total()] == [1, 0, 1]


async def test_lapsed_contracts_do_not_slow_down_what_is_still_due(stage: Stage) -> None:
    stage.rate = 3.0
    await stage.learn(*(signed(f"{number}", date(2026, 12, 1)) for number in range(3)), issued("A", date(2026, 12, 5)))
    overdue = at("2026-12-06T10:00:00")

    lapsing = await stage.fire(overdue)
    firing = await stage.fire(overdue)

    assert lapsing.next_at == overdue
    assert [lapsing.counts.total(), firing.counts.total()] == [0, 1]
