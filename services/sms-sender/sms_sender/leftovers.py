"""What was left over in the ledger: attempts that nobody concluded, SMS that nobody redelivers, and what is too old."""

from datetime import timedelta
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from spacehub import database

from sms_sender import rows
from sms_sender.attempts import OTP, WORTH_A_SECOND_OTP, End, verdict
from sms_sender.statements import CLOSED

if TYPE_CHECKING:
    import asyncpg

MARGIN = timedelta(minutes=1)
"""How long after the end of a lease, or of an SMS's validity, its redelivery is waited for."""

_LOST: Final = f"""
WITH locked AS MATERIALIZED (
    SELECT * FROM sms
    WHERE status = 'claimed' AND lease_until < clock_timestamp() - $1::interval
        AND NOT (about = $2 AND ambiguous = 0 AND expires_at >= clock_timestamp() + $3::interval)
    ORDER BY lease_until LIMIT $4 FOR UPDATE SKIP LOCKED
)
SELECT *, clock_timestamp() AS now, {CLOSED} AS closed FROM locked"""  # noqa: S608 - constants only
"""Attempts whose lease ran out, but for those of codes worth another: these wait for their redelivery."""

_EXPIRED: Final = f"""
WITH locked AS MATERIALIZED (
    SELECT * FROM sms WHERE status = 'waiting' AND expires_at < clock_timestamp() - $1::interval
    ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED
)
SELECT *, clock_timestamp() AS now, {CLOSED} AS closed FROM locked"""  # noqa: S608 - constants only

_ERASE: Final = """
UPDATE sms SET user_id = NULL, phone_hash = NULL, phone_last4 = NULL WHERE ctid = ANY (ARRAY(
    SELECT sms.ctid FROM closings JOIN sms ON sms.user_id = substr(closings.subject, 6)::uuid
    WHERE closings.subject LIKE 'user:%' AND closed AND settled_at IS NOT NULL LIMIT $1 FOR UPDATE OF sms SKIP LOCKED
))"""

_FORGET: Final = (
    """
DELETE FROM sms WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM sms WHERE settled_at < clock_timestamp() - $1::interval LIMIT $2 FOR UPDATE SKIP LOCKED
))""",
    """
DELETE FROM closings WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM closings WHERE recorded_at < clock_timestamp() - $1::interval AND subject NOT LIKE 'user:%'
    LIMIT $2 FOR UPDATE SKIP LOCKED
))""",
    """
DELETE FROM learned_facts WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM learned_facts WHERE learned_at < clock_timestamp() - $1::interval
    LIMIT $2 FOR UPDATE SKIP LOCKED
))""",
    """
DELETE FROM budget_months WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM budget_months WHERE month < clock_timestamp() - interval '1 month' - $1::interval
    LIMIT $2 FOR UPDATE SKIP LOCKED
))""",
    """
DELETE FROM code_counts WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM code_counts WHERE NOT clock_timestamp() - least($1::interval, interval '1 day') < ANY (counted_at)
    LIMIT $2 FOR UPDATE SKIP LOCKED
))""",
)


class Leftovers:
    """Each call does up to `most` and says how many it did; any number of processes may call at the same time.

    Raises Away when the database cannot be reached.
    """

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self._pool = pool

    async def end_lost(self, *, most: int) -> int:
        """Attempts that started and were never heard of again end as unknown."""
        return await self._end(_LOST, MARGIN, OTP, WORTH_A_SECOND_OTP, most)

    async def end_expired(self, *, most: int) -> int:
        """SMS that waited for another attempt beyond their time end: their request got lost on the way back."""
        return await self._end(_EXPIRED, MARGIN, most)

    async def erase_people(self, *, most: int) -> int:
        """What points to deleted users goes out of the SMS that got their end after the deletion."""
        return await self._execute(_ERASE, most)

    async def forget(self, *, older_than: timedelta, most: int) -> int:
        """Forget what was settled, closed, taken in or used so long ago, and codes after a day; never that a user was
        deleted.
        """
        return sum([await self._execute(statement, older_than, most) for statement in _FORGET])

    async def _end(self, candidates: str, *arguments: object) -> int:
        async with database.transaction(self._pool) as connection:
            found = await connection.fetch(candidates, *arguments)
            judged = [(row, verdict(rows.state_of(row), token=uuid4())) for row in found]
            ends = [(row, end) for row, end in judged if isinstance(end, End)]
            await rows.end_all(connection, ends)
        return len(ends)

    async def _execute(self, statement: str, *arguments: object) -> int:
        async with database.reading(self._pool) as connection:
            done: str = await connection.execute(statement, *arguments)
        return int(done.split()[-1])
