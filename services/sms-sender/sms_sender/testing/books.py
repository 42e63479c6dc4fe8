"""Looking into a ledger, and moving its clock, the same way for both ledgers."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID

from spacehub.events.envelope import STRUCTURED, Event, read

from sms_sender.closings import Limit
from sms_sender.facts_store import FactsStore
from sms_sender.ledger import Ledger
from sms_sender.statements import THIS_MONTH
from sms_sender.testing.allowances import month_of
from sms_sender.testing.memory import FakeLedger

if TYPE_CHECKING:
    import asyncpg

_CLOSE = "INSERT INTO closings (subject, closed, decided_at) VALUES ($1, true, clock_timestamp())"

_USED = f"SELECT used FROM budget_months WHERE owner_id = $1 AND month = {THIS_MONTH}"  # noqa: S608 - ours

_AGE_CODES = """
UPDATE code_counts SET counted_at = ARRAY(SELECT at - $1::interval FROM unnest(counted_at) AS at ORDER BY at)"""

_AGE_MINUTE = (
    "UPDATE last_minute SET seconds = ARRAY(SELECT second - 61 FROM unnest(seconds) AS second ORDER BY second)"
)

A_MOMENT = timedelta(seconds=1)


class Book(Protocol):
    """A ledger with what a test needs besides."""

    @property
    def ledger(self) -> Ledger | FakeLedger: ...
    async def row(self, sms_id: UUID) -> Mapping[str, Any]:
        """The SMS as the ledger has it."""
        ...

    async def events(self) -> list[Event]:
        """What the ledger published, in order."""
        ...

    async def lose_events(self) -> None:
        """What the ledger published is lost on its way."""
        ...

    async def run_out(self, sms_id: UUID) -> None:
        """The lease has just ended."""
        ...

    async def expires_in(self, sms_id: UUID, left: timedelta) -> None:
        """The SMS is valid for `left` from now."""
        ...

    async def close(self, subject: str) -> None:
        """Nothing is to be sent of `subject` any more."""
        ...

    async def limit(self, owner: UUID, segments: int | None) -> None:
        """The owner's month may cost so many segments."""
        ...

    async def used(self, owner: UUID) -> int:
        """How many segments of the owner's month are used."""
        ...

    async def a_month_passes(self) -> None:
        """What was this month is last month."""
        ...

    async def since_the_codes(self, passed: timedelta) -> None:
        """So much time passes since the codes that were counted."""
        ...

    async def a_minute_passes(self) -> None:
        """What went out in the last minute did so before."""
        ...


class MemoryBook:
    """A FakeLedger."""

    def __init__(self, ledger: FakeLedger | None = None) -> None:
        self.ledger = ledger or FakeLedger()

    async def row(self, sms_id: UUID) -> Mapping[str, Any]:
        return asdict(self.ledger.rows[sms_id])

    async def events(self) -> list[Event]:
        return self.ledger.events

    async def lose_events(self) -> None:
        self.ledger.messages.clear()

    async def run_out(self, sms_id: UUID) -> None:
        self.ledger.rows[sms_id].lease_until = datetime.now(UTC) - A_MOMENT

    async def expires_in(self, sms_id: UUID, left: timedelta) -> None:
        self.ledger.rows[sms_id].expires_at = datetime.now(UTC) + left

    async def close(self, subject: str) -> None:
        self.ledger.closed.add(subject)

    async def limit(self, owner: UUID, segments: int | None) -> None:
        self.ledger.allowance.limit(owner, segments, now=datetime.now(UTC))

    async def used(self, owner: UUID) -> int:
        standing = self.ledger.allowance.months.get((owner, month_of(datetime.now(UTC))))
        return standing.used if standing else 0

    async def a_month_passes(self) -> None:
        months = self.ledger.allowance.months
        for owner, month in list(months):
            earlier = _month_before(month)
            months[owner, earlier] = replace(months.pop((owner, month)), month=earlier)
        for row in self.ledger.rows.values():
            row.budget_month = row.budget_month and _month_before(row.budget_month)

    async def since_the_codes(self, passed: timedelta) -> None:
        for codes in self.ledger.allowance.codes.values():
            codes.update({sms_id: at - passed for sms_id, at in codes.items()})

    async def a_minute_passes(self) -> None:
        self.ledger.allowance.a_minute_passes()


class PostgresBook:
    """The ledger in a database."""

    def __init__(self, ledger: Ledger, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self.ledger = ledger
        self._pool = pool

    async def row(self, sms_id: UUID) -> Mapping[str, Any]:
        row = await self._pool.fetchrow("SELECT * FROM sms WHERE sms_id = $1", sms_id)
        assert row is not None
        return dict(row)

    async def events(self) -> list[Event]:
        rows = await self._pool.fetch("SELECT body FROM outbox ORDER BY id")
        return [read(row["body"], content_type=STRUCTURED, headers={}) for row in rows]

    async def lose_events(self) -> None:
        await self._pool.execute("DELETE FROM outbox")

    async def run_out(self, sms_id: UUID) -> None:
        await self._execute("lease_until = clock_timestamp() - $2::interval", sms_id, A_MOMENT)

    async def expires_in(self, sms_id: UUID, left: timedelta) -> None:
        await self._execute("expires_at = clock_timestamp() + $2::interval", sms_id, left)

    async def close(self, subject: str) -> None:
        await self._pool.execute(_CLOSE, subject)

    async def limit(self, owner: UUID, segments: int | None) -> None:
        async with FactsStore(self._pool).learning() as facts:
            await facts.limit([Limit(owner, segments, await facts.now())])

    async def used(self, owner: UUID) -> int:
        used: int | None = await self._pool.fetchval(_USED, owner)
        return used or 0

    async def a_month_passes(self) -> None:
        await self._pool.execute("UPDATE budget_months SET month = month - interval '1 month'")
        await self._pool.execute("UPDATE sms SET budget_month = budget_month - interval '1 month'")

    async def since_the_codes(self, passed: timedelta) -> None:
        await self._pool.execute(_AGE_CODES, passed)

    async def a_minute_passes(self) -> None:
        await self._pool.execute(_AGE_MINUTE)

    async def _execute(self, change: str, sms_id: UUID, value: timedelta) -> None:
        await self._pool.execute(f"UPDATE sms SET {change} WHERE sms_id = $1", sms_id, value)  # noqa: S608 - ours


def _month_before(month: date) -> date:
    return (month - timedelta(days=1)).replace(day=1)
