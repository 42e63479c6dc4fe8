"""The SMS of which nobody knows whether they were sent, in PostgreSQL, for a person to look at and to settle."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from spacehub import database

from sms_sender import rows, statements
from sms_sender.attempts import State
from sms_sender.outcomes import Outcome
from sms_sender.word import Word

if TYPE_CHECKING:
    import asyncpg

_LIST: Final = """
SELECT sms_id, settled_at, about, subject, phone_last4, segments, attempts, reason, expires_at
FROM sms WHERE status = 'unknown' ORDER BY settled_at, sms_id LIMIT $1"""

_NO_DOUBT: Final = "UPDATE sms SET ambiguous = 0 WHERE sms_id = $1"

_REOPEN: Final = """
UPDATE sms SET status = 'waiting', reason = NULL, message_id = NULL, ambiguous = 0, series = series + 1,
    lease_until = NULL, settled_at = NULL
WHERE sms_id = $1"""

_NOTE: Final = "INSERT INTO audit (by, action, sms_id, reason) VALUES ($1, $2, $3, $4)"


@dataclass(frozen=True, slots=True)
class Doubt:
    """An SMS in doubt as a person sees it: of the number only its end."""

    sms_id: UUID
    settled_at: datetime
    about: str
    subject: str | None
    phone_last4: str | None
    segments: int
    attempts: int
    reason: str | None
    expires_at: datetime


class Doubts:
    """Everything here raises Away when the database cannot be reached."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self._pool = pool

    async def listed(self, *, most: int) -> list[Doubt]:
        """Those in doubt, for the longest time first."""
        async with database.reading(self._pool) as connection:
            return [Doubt(**row) for row in await connection.fetch(_LIST, most)]

    @asynccontextmanager
    async def held(self, sms_id: UUID) -> AsyncIterator["InDoubt | None"]:
        """The SMS of that id, if there is one, held until the end."""
        async with database.transaction(self._pool) as connection:
            row = await connection.fetchrow(statements.LOCK, sms_id)
            yield InDoubt(connection, row) if row is not None else None


class InDoubt:
    """One SMS, held until the end of a transaction."""

    def __init__(self, connection: Any, row: Any) -> None:
        self._connection = connection
        self._row = row

    @property
    def state(self) -> State:
        """How it stands."""
        return rows.state_of(self._row)

    async def end(self, outcome: Outcome) -> None:
        """It ends so; when that was never sent, no attempt of it is in doubt any more."""
        await rows.end(self._connection, self._row, outcome)
        if outcome.status != "sent":
            await self._connection.execute(_NO_DOUBT, self._row["sms_id"])

    async def reopen(self) -> None:
        """It waits for a new series of attempts."""
        await self._connection.execute(_REOPEN, self._row["sms_id"])

    async def note(self, word: Word) -> None:
        """Write it into the audit."""
        await self._connection.execute(_NOTE, word.by, word.action, word.sms_id, word.reason)
