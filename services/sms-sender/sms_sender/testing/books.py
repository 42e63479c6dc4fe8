"""Looking into a ledger, and moving its clock, the same way for both ledgers."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID

from spacehub.events.envelope import STRUCTURED, Event, read

from sms_sender.ledger import Ledger
from sms_sender.testing.memory import FakeLedger

if TYPE_CHECKING:
    import asyncpg

_CLOSE = "INSERT INTO closings (subject, closed, decided_at) VALUES ($1, true, clock_timestamp())"

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


class MemoryBook:
    """A FakeLedger."""

    def __init__(self) -> None:
        self.ledger = FakeLedger()

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

    async def _execute(self, change: str, sms_id: UUID, value: timedelta) -> None:
        await self._pool.execute(f"UPDATE sms SET {change} WHERE sms_id = $1", sms_id, value)  # noqa: S608 - ours
