"""Whatever facts come, in whatever order, twice or thrice, between whatever rounds: timers agree with a plain model."""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from uuid import UUID

import asyncpg
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scheduler.testing import Stage, cancelled, deleted, ended, issued, paid, signed, told
from spacehub.events import facts
from spacehub.events.envelope import Event

START = datetime(2026, 11, 24, 4, 0, tzinfo=UTC)
ULAANBAATAR = timezone(timedelta(hours=8))
USERS = [UUID(int=1), UUID(int=2)]
IDS = st.sampled_from(["1", "2"])
DAYS = st.integers(-9, 12).map(lambda days: date(2026, 11, 24) + timedelta(days=days))
TIMES = st.none() | st.integers(-50, 50).map(lambda hours: START + timedelta(hours=hours))
FACTS = st.one_of(
    st.builds(lambda bill, day, user: issued(bill, day, user=user), IDS, DAYS, st.sampled_from(USERS)),
    st.builds(lambda contract, day, user: signed(contract, day, user=user), IDS, DAYS, st.sampled_from(USERS)),
    st.builds(paid, IDS),
    st.builds(cancelled, IDS),
    st.builds(ended, IDS),
    st.builds(deleted, st.sampled_from(USERS)),
)
EVENTS = st.lists(st.tuples(FACTS, TIMES), min_size=1, max_size=8)
STEPS = st.lists(
    st.one_of(
        st.lists(st.integers(0, 7), min_size=1, max_size=6),  # learn these events, in one batch
        st.integers(1, 60).map(lambda hours: timedelta(hours=hours)),  # let time pass, then fire what is due
    ),
    min_size=1,
    max_size=12,
)


@dataclass
class Plain:
    """The rules told as directly as they can be: everything ever said is kept, and looked through anew each time."""

    now: datetime = START
    seen: list[str] = field(default_factory=list)
    said: dict[str, list[tuple[datetime, facts.Fact]]] = field(default_factory=dict)
    gone: set[UUID] = field(default_factory=set)
    fired: list[tuple[str, date]] = field(default_factory=list)

    def learn(self, event: Event) -> None:
        if event.id in self.seen:
            return
        self.seen.append(event.id)
        match event.data:
            case facts.UserDeleted(user_id=user):
                self.gone.add(user)
                return
            case (
                facts.BillIssued(bill_id=name)
                | facts.BillCancelled(bill_id=name)
                | facts.PaymentConfirmed(bill_id=name)
            ):
                subject = f"bill:{name}"
            case facts.ContractSigned(contract_id=name) | facts.ContractEnded(contract_id=name):
                subject = f"contract:{name}"
            case other:
                raise AssertionError(other)
        sayings = self.said.setdefault(subject, [])
        newest = max([when for when, _ in sayings], default=self.now)
        sayings.append((event.time or max(self.now, newest), event.data))

    def wanted(self, subject: str) -> tuple[datetime, date] | None:
        """What is to fire for `subject`, and when, by all that was said so far."""
        sayings = self.said[subject]
        if any(isinstance(fact, facts.PaymentConfirmed | facts.BillCancelled) for _, fact in sayings):
            return None
        at, newest = sayings[0]
        for when, fact in sayings[1:]:
            if when >= at:
                at, newest = when, fact
        match newest:
            case facts.BillIssued(due_date=day):
                heard = any(name == subject and day <= other for name, other in self.fired)
                due, until = morning(day + timedelta(days=1)), None
            case facts.ContractSigned(ends_on=day):
                heard = (subject, day) in self.fired
                due, until = morning(day - timedelta(days=5)), midnight(day + timedelta(days=1))
            case _:
                return None
        if heard or newest.recipient.user_id in self.gone or (until is not None and self.now >= until):
            return None
        return due, day

    def fire(self) -> None:
        for subject in self.said:
            wanted = self.wanted(subject)
            if wanted is not None and wanted[0] <= self.now:
                self.fired.append((subject, wanted[1]))

    def armed(self) -> dict[str, tuple[datetime, date]]:
        return {subject: wanted for subject in self.said if (wanted := self.wanted(subject)) is not None}


def morning(day: date) -> datetime:
    return datetime.combine(day, time(10), ULAANBAATAR)


def midnight(day: date) -> datetime:
    return datetime.combine(day, time(), ULAANBAATAR)


@given(told_facts=EVENTS, steps=STEPS)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_timers_agree_with_a_plain_model(
    stage: Stage,
    pool: "asyncpg.Pool[asyncpg.Record]",
    told_facts: list[tuple[facts.Fact, datetime | None]],
    steps: list[list[int] | timedelta],
) -> None:
    await stage.execute("DELETE FROM timers; DELETE FROM learned_facts; DELETE FROM deleted_users; DELETE FROM outbox")
    await stage.execute("UPDATE release_gate SET opens_at = 'epoch'")
    stage.clock.moment = START
    events = [told(fact, time=time, id=str(number)) for number, (fact, time) in enumerate(told_facts)]
    plain = Plain()
    published: list[tuple[str, date]] = []

    for step in steps:
        if isinstance(step, timedelta):
            plain.now = stage.clock.moment + step
            plain.fire()
            await stage.fire(plain.now)
            published += [subject_of(event) for event in await stage.publish()]
        else:
            batch = [events[number % len(events)] for number in step]
            await stage.learn(*batch)
            plain.now = stage.clock.moment
            for event in batch:
                plain.learn(event)

        armed = await pool.fetch("SELECT subject, due_at, deadline FROM timers WHERE state = 'armed'")
        alive = {row[0]: (row[1], row[2]) for row in armed}
        assert {subject: alive[subject] for subject in plain.armed()} == plain.armed()
        assert sorted(published) == sorted(plain.fired)

    late = START + timedelta(days=60)
    await stage.fire(late)
    plain.now = late
    plain.fire()
    published += [subject_of(event) for event in await stage.publish()]
    assert sorted(published) == sorted(plain.fired)
    assert await pool.fetchval("SELECT count(*) FROM timers WHERE state = 'armed' OR user_id IS NOT NULL") == 0


def subject_of(event: Event) -> tuple[str, date]:
    match event.data:
        case facts.BillOverdue(bill_id=bill, due_date=day):
            return f"bill:{bill}", day
        case facts.ContractExpiring(contract_id=contract, ends_on=day):
            return f"contract:{contract}", day
        case other:
            raise AssertionError(other)
