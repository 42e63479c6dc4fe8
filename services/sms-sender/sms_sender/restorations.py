"""Restores that are on record in the ledger's own database: what they leave in doubt, and until when they count."""

from datetime import datetime
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from spacehub import database

from sms_sender.attempts import OTP
from sms_sender.outcomes import RESTORED

if TYPE_CHECKING:
    import asyncpg

LOOK = 10.0
"""Seconds for which an answer is remembered."""

_UNTIL: Final = "SELECT max(until) FROM restorations WHERE lifted_at IS NULL"
_NOTE: Final = "INSERT INTO restorations (until, by) VALUES ($1, $2)"
_LIFT: Final = """
WITH lifted AS (
    UPDATE restorations SET lifted_at = clock_timestamp(), lifted_by = $1 WHERE lifted_at IS NULL RETURNING id
)
SELECT count(*) FROM lifted"""
_DOUBT: Final = """
WITH doubted AS (
    UPDATE sms SET status = 'unknown', reason = $1, ambiguous = ambiguous + 1, lease_until = NULL,
        settled_at = clock_timestamp()
    WHERE status IN ('claimed', 'waiting') AND about <> $2 RETURNING sms_id
)
SELECT count(*) FROM doubted"""


class Restorations:
    """Everything here raises Away when the database cannot be reached."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self._pool = pool
        self._until: datetime | None = None
        self._asked_at: float | None = None

    async def until(self) -> datetime | None:
        """What happened before this may have been sent without the ledger's knowing; None when nothing may."""
        if self._asked_at is None or monotonic() - self._asked_at > LOOK:
            async with database.reading(self._pool) as connection:
                self._until = await connection.fetchval(_UNTIL)
            self._asked_at = monotonic()
        return self._until

    async def note(self, until: datetime, *, by: str) -> int:
        """From now on, what happened before `until` is in doubt; how many SMS on record are so at once.

        Codes are not: a code that is still of use is worth a second text.
        """
        async with database.transaction(self._pool) as connection:
            await connection.execute(_NOTE, until, by)
            return await _count(connection, _DOUBT, RESTORED, OTP)

    async def lift(self, *, by: str) -> int:
        """Nothing further is in doubt; how many restores were lifted. What a person has not settled stays in doubt."""
        async with database.transaction(self._pool) as connection:
            return await _count(connection, _LIFT, by)


async def _count(connection: Any, statement: str, *values: object) -> int:
    return int(await connection.fetchval(statement, *values))
