"""The timetable in PostgreSQL: timers, learned facts, deleted users, slots and the gate."""

from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
from spacehub import database, outbox
from spacehub.outbox import OutboxRow

from scheduler.timers import Coming, Key, State, Timer

ARMED = "timers_armed"
"""The NOTIFY channel; its payload is the soonest moment that a transaction armed a timer for, ISO 8601."""

_USERS_LOCK = 0x5ACE_71
_LOCK_USERS = "SELECT pg_advisory_xact_lock_shared($1)"
_LOCK_USERS_ALONE = "SELECT pg_advisory_xact_lock($1)"

_TAKE_IN = """
INSERT INTO learned_facts (fact_id, learned_at) SELECT fact_id, $2 FROM unnest($1::uuid[]) AS new (fact_id)
ON CONFLICT DO NOTHING RETURNING fact_id"""
_FORGET_FACTS = """
DELETE FROM learned_facts WHERE ctid = ANY(ARRAY(SELECT ctid FROM learned_facts WHERE learned_at < $1 LIMIT $2))"""

_BURY = """
INSERT INTO deleted_users (user_id, deleted_at) SELECT user_id, $2 FROM unnest($1::uuid[]) AS new (user_id)
ON CONFLICT DO NOTHING"""
_VOID = """
UPDATE timers SET state = 'void', due_at = NULL, lapses_at = NULL, deadline = NULL, user_id = NULL, data = NULL
WHERE user_id = ANY($1::uuid[])"""
_BURIED = "SELECT user_id FROM deleted_users WHERE user_id = ANY($1::uuid[])"

_HAVE = """
INSERT INTO timers (subject, purpose, state)
SELECT subject, purpose, 'new' FROM unnest($1::text[], $2::text[]) AS new (subject, purpose)
ON CONFLICT DO NOTHING"""
HOLD = """
SELECT subject, purpose, state, as_of, due_at, lapses_at, deadline, user_id, data, told
FROM timers WHERE (subject, purpose) IN (SELECT * FROM unnest($1::text[], $2::text[]))
ORDER BY subject, purpose FOR UPDATE"""
SAVE = """
UPDATE timers
SET state = new.state, as_of = new.as_of, due_at = new.due_at, lapses_at = new.lapses_at, deadline = new.deadline,
    user_id = new.user_id, data = new.data, told = new.told
FROM jsonb_to_recordset($1::jsonb)
  AS new (subject text, purpose text, state text, as_of timestamptz, due_at timestamptz, lapses_at timestamptz,
          deadline date, user_id uuid, data jsonb, told date[])
WHERE timers.subject = new.subject AND timers.purpose = new.purpose"""

CLAIM_DUE = """
SELECT subject, purpose, state, as_of, due_at, lapses_at, deadline, user_id, data, told
FROM timers WHERE state = 'armed' AND due_at <= $1
ORDER BY due_at, subject LIMIT $2 FOR UPDATE SKIP LOCKED"""
NEXT_DUE = "SELECT min(due_at) FROM timers WHERE state = 'armed'"
_COMING = """
SELECT due_at, purpose, subject FROM timers
WHERE state = 'armed' AND due_at <= $2 AND (lapses_at IS NULL OR lapses_at > $1)
ORDER BY due_at, subject LIMIT $3"""

_GATE = "SELECT opens_at FROM release_gate FOR UPDATE"
_SHUT_GATE = "UPDATE release_gate SET opens_at = $1"
_CLAIM_SLOT = """
INSERT INTO slots (purpose, slot_at, fired_at)
SELECT $1, $2, CASE WHEN newest IS NOT NULL THEN $3::timestamptz END
FROM (SELECT max(slot_at) AS newest FROM slots WHERE purpose = $1) AS known
WHERE newest IS NULL OR newest < $2
ON CONFLICT DO NOTHING
RETURNING fired_at IS NOT NULL"""


class Timetable:
    """Everything here raises Away when the database cannot be reached."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self._pool = pool

    @asynccontextmanager
    async def learning(self, *, deleting: bool) -> AsyncIterator["Learning"]:
        """A transaction to learn in. One that deletes users runs while no other learns."""
        async with database.transaction(self._pool) as connection:
            await connection.execute(_LOCK_USERS_ALONE if deleting else _LOCK_USERS, _USERS_LOCK)
            yield Learning(connection)

    @asynccontextmanager
    async def firing(self) -> AsyncIterator["Firing"]:
        """A transaction to fire in."""
        async with database.transaction(self._pool) as connection:
            yield Firing(connection)

    async def coming(self, now: datetime, *, until: datetime, most: int) -> list[Coming]:
        """The armed timers due by `until` that have not lapsed by `now`, soonest first."""
        async with database.reading(self._pool) as connection:
            rows = await connection.fetch(_COMING, now, until, most)
        return [Coming(row["due_at"], row["purpose"], row["subject"]) for row in rows]

    async def forget_facts(self, *, before: datetime, most: int) -> int:
        """Forget up to `most` ids of facts learned before a moment; how many."""
        async with database.reading(self._pool) as connection:
            done: str = await connection.execute(_FORGET_FACTS, before, most)
        return int(done.split()[-1])


class Learning:
    """A transaction in which facts are learned. It locks users, facts and timers, in this order and each sorted."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def unseen(self, ids: Iterable[UUID], *, now: datetime) -> AbstractSet[UUID]:
        """Those of `ids` that were never learned; from now on they were."""
        rows = await self._connection.fetch(_TAKE_IN, sorted(set(ids)), now)
        return {row["fact_id"] for row in rows}

    async def bury(self, users: Collection[UUID], *, now: datetime) -> None:
        """Remember that `users` are deleted, and void their armed timers."""
        await self._connection.execute(_BURY, list(users), now)
        await self._connection.execute(_VOID, list(users))

    async def buried(self, users: Collection[UUID]) -> AbstractSet[UUID]:
        """Those of `users` that are deleted."""
        return {row["user_id"] for row in await self._connection.fetch(_BURIED, list(users))}

    async def hold(self, keys: Iterable[Key]) -> dict[Key, Timer]:
        """The timers of `keys`, a new one where none was, locked until the end."""
        wanted = sorted(set(keys))
        arguments = [key.subject for key in wanted], [key.purpose for key in wanted]
        await self._connection.execute(_HAVE, *arguments)
        timers = [_timer(row) for row in await self._connection.fetch(HOLD, *arguments)]
        return {timer.key: timer for timer in timers}

    async def withdraw(self, *, subjects: Collection[str], users: Collection[UUID]) -> Collection[str]:
        """Take back the events that wait to be published; the ids of those."""
        if not subjects and not users:
            return []
        return await outbox.withdraw(self._connection, subjects=subjects, users=users)

    async def save(self, timers: Collection[Timer]) -> None:
        """Keep `timers`, and tell the clock the soonest moment that one is armed for."""
        await _save(self._connection, timers)
        due = [timer.due_at for timer in timers if timer.due_at is not None]
        if due:
            await self._connection.execute("SELECT pg_notify($1, $2)", ARMED, min(due).isoformat())


class Firing:
    """A transaction in which events are fired."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def gate(self) -> datetime:
        """The moment from which timers may be fired again; the gate is held until the end."""
        opens_at: datetime = await self._connection.fetchval(_GATE)
        return opens_at

    async def shut_gate(self, until: datetime) -> None:
        """Keep every scheduler from firing timers before `until`."""
        await self._connection.execute(_SHUT_GATE, until)

    async def claim_due(self, now: datetime, *, most: int) -> list[Timer]:
        """The armed timers that are due, oldest first, locked; those that somebody else holds are left out."""
        return [_timer(row) for row in await self._connection.fetch(CLAIM_DUE, now, most)]

    async def claim_slot(self, purpose: str, slot_at: datetime, *, now: datetime) -> bool:
        """Whether this slot is to be fired here: none of `purpose` as new is known, but an older one is."""
        return bool(await self._connection.fetchval(_CLAIM_SLOT, purpose, slot_at, now))

    async def next_due(self) -> datetime | None:
        """When the next armed timer is due; None when none is armed."""
        due_at: datetime | None = await self._connection.fetchval(NEXT_DUE)
        return due_at

    async def save(self, timers: Collection[Timer]) -> None:
        """Keep `timers`."""
        await _save(self._connection, timers)

    async def write(self, rows: Sequence[OutboxRow]) -> None:
        """Add `rows` to the outbox."""
        await outbox.write(self._connection, rows)


async def _save(connection: Any, timers: Collection[Timer]) -> None:
    if timers:
        await connection.execute(SAVE, [_row(timer) for timer in timers])


def _row(timer: Timer) -> dict[str, Any]:
    return {
        "subject": timer.key.subject,
        "purpose": timer.key.purpose,
        "state": timer.state,
        "as_of": timer.as_of and timer.as_of.isoformat(),
        "due_at": timer.due_at and timer.due_at.isoformat(),
        "lapses_at": timer.lapses_at and timer.lapses_at.isoformat(),
        "deadline": timer.deadline and timer.deadline.isoformat(),
        "user_id": timer.user_id and str(timer.user_id),
        "data": timer.data,
        "told": [day.isoformat() for day in sorted(timer.told)],
    }


def _timer(row: Any) -> Timer:
    return Timer(
        key=Key(row["subject"], row["purpose"]),
        state=State(row["state"]),
        as_of=row["as_of"],
        due_at=row["due_at"],
        lapses_at=row["lapses_at"],
        deadline=row["deadline"],
        user_id=row["user_id"],
        data=row["data"],
        told=frozenset(row["told"]),
    )
