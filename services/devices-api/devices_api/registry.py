"""The registry in PostgreSQL: every promise is kept by one statement, so nothing comes between look and act."""

import hashlib
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from spacehub.database import reading

from devices_api.devices import Address, Device, Registration

if TYPE_CHECKING:
    import asyncpg

# The time is taken when the row is ours, not when we began to wait for it: so it never goes back.
_PUT = """
INSERT INTO fcm_tokens AS held (id, user_id, token, platform, device_label)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (token_hash) DO UPDATE SET
    id = CASE WHEN held.user_id = excluded.user_id THEN held.id ELSE excluded.id END,
    created_at = CASE WHEN held.user_id = excluded.user_id THEN held.created_at ELSE clock_timestamp() END,
    device_label = CASE WHEN held.user_id = excluded.user_id AND NOT $6 THEN held.device_label
                        ELSE excluded.device_label END,
    user_id = excluded.user_id,
    platform = excluded.platform,
    last_seen_at = clock_timestamp()
RETURNING id, platform, device_label, last_seen_at, created_at"""

_OF_USER = """
SELECT id, platform, device_label, last_seen_at, created_at FROM fcm_tokens
WHERE user_id = $1 ORDER BY created_at, id"""

_REMOVE = "DELETE FROM fcm_tokens WHERE token_hash = $1 AND user_id = $2"

_REMOVE_USER = "DELETE FROM fcm_tokens WHERE user_id = $1"

_BURY = "DELETE FROM fcm_tokens WHERE token_hash = $1 AND user_id = $2 AND last_seen_at <= $3"

_ADDRESSES_OF = """
SELECT moment.at, held.user_id, held.token, held.platform, held.kind
FROM (SELECT now() AS at) AS moment LEFT JOIN fcm_tokens AS held ON held.user_id = ANY($1::uuid[])"""

# The age is checked again by DELETE itself: a device that was seen meanwhile stays.
_PRUNE_PAGE = """
WITH page AS MATERIALIZED (
    SELECT id FROM fcm_tokens WHERE $1::uuid IS NULL OR id > $1 ORDER BY id LIMIT $3
), gone AS (
    DELETE FROM fcm_tokens AS held USING page
    WHERE held.id = page.id AND held.last_seen_at < now() - $2::interval
    RETURNING 1
)
SELECT (SELECT id FROM page ORDER BY id DESC LIMIT 1) AS last, (SELECT count(*) FROM page) AS seen,
       (SELECT count(*) FROM gone) AS removed"""


class Registry:
    """Devices by the digest of their token: a token can be longer than what PostgreSQL indexes. Raises Away."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self._pool = pool

    async def put(self, registration: Registration, *, user_id: UUID, new_id: UUID) -> Device:
        """See `registering.Registry`."""
        async with reading(self._pool) as connection:
            row = await connection.fetchrow(
                _PUT,
                new_id,
                user_id,
                registration.token,
                registration.platform,
                registration.label,
                registration.says_label,
            )
        return Device(**row)

    async def devices_of(self, user_id: UUID) -> list[Device]:
        """See `registering.Registry`."""
        async with reading(self._pool) as connection:
            return [Device(**row) for row in await connection.fetch(_OF_USER, user_id)]

    async def remove(self, token: str, *, user_id: UUID) -> None:
        """See `registering.Registry`."""
        async with reading(self._pool) as connection:
            await connection.execute(_REMOVE, digest(token), user_id)

    async def addresses_of(self, user_ids: Iterable[UUID]) -> tuple[datetime, list[Address]]:
        """See `registering.Registry`."""
        async with reading(self._pool) as connection:
            rows = await connection.fetch(_ADDRESSES_OF, list(user_ids))
        return rows[0]["at"], [
            Address(row["user_id"], row["token"], row["platform"], row["kind"])
            for row in rows
            if row["user_id"] is not None
        ]

    async def bury(self, token: str, *, user_id: UUID, resolved_at: datetime) -> int:
        """See `pruning.Registry`."""
        async with reading(self._pool) as connection:
            return _count(await connection.execute(_BURY, digest(token), user_id, resolved_at))

    async def remove_user(self, user_id: UUID) -> int:
        """See `pruning.Registry`."""
        async with reading(self._pool) as connection:
            return _count(await connection.execute(_REMOVE_USER, user_id))

    async def prune_page(self, *, after: UUID | None, unseen_for: timedelta, size: int) -> tuple[UUID | None, int]:
        """See `pruning.Registry`."""
        async with reading(self._pool) as connection:
            row = await connection.fetchrow(_PRUNE_PAGE, after, unseen_for, size)
        return (row["last"] if row["seen"] == size else None), row["removed"]


def digest(token: str) -> bytes:
    """What the database computes for `token_hash`."""
    return hashlib.sha256(token.encode()).digest()


def _count(status: str) -> int:
    """PostgreSQL's command tag, `DELETE 3`."""
    return int(status.rpartition(" ")[2])
