"""Subjects in the database: locked by those who write for them or close them, and what is known of their closing."""

from collections.abc import Set as AbstractSet
from hashlib import blake2b
from typing import Any
from uuid import UUID

from inbox_api.closings import Closing

_LOCK = """
SELECT count((CASE WHEN alone THEN pg_advisory_xact_lock(key) ELSE pg_advisory_xact_lock_shared(key) END)::text)
FROM unnest($1::bigint[], $2::boolean[]) AS wanted (key, alone)"""

_CLOSINGS = "SELECT subject, closed, decided_at, source, event_id FROM closings WHERE subject = ANY($1::text[])"

USER_LOCKS = 256
"""Users share so many locks: one event may be for a thousand people, and the table of locks is small."""


async def lock(
    connection: Any, *, shared: AbstractSet[str] = frozenset(), alone: AbstractSet[str] = frozenset()
) -> None:
    """Hold the locks of these subjects until the transaction ends, taken in one order by everybody."""
    wanted = {lock_key(subject): False for subject in shared}
    wanted |= {lock_key(subject): True for subject in alone}
    keys = sorted(wanted)
    if keys:
        await connection.execute(_LOCK, keys, [wanted[key] for key in keys])


async def closings(connection: Any, subjects: AbstractSet[str]) -> dict[str, Closing]:
    """What is known of the closing of those `subjects` of which anything is known."""
    if not subjects:
        return {}
    rows = await connection.fetch(_CLOSINGS, list(subjects))
    return {row["subject"]: Closing(**row) for row in rows}


def lock_key(subject: str) -> int:
    """The advisory lock of a subject: one of its own, but users share `USER_LOCKS` of them."""
    if subject.startswith("user:"):
        subject = f"users:{UUID(subject.removeprefix('user:')).int % USER_LOCKS}"
    return int.from_bytes(blake2b(subject.encode(), digest_size=8).digest(), signed=True)
