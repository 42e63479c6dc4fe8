"""How many codes one phone got of late, in PostgreSQL: one row per phone, which the count is taken under.

A code holds its place in the windows from its newest attempt on, once, however often it is delivered.
"""

from collections.abc import Collection, Mapping
from collections.abc import Set as AbstractSet
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

FEW, SOON = 5, timedelta(minutes=15)
MANY, A_DAY = 10, timedelta(hours=24)
"""At most so many codes in any window of that length."""

_OTHERS = """unnest(kept.sms_ids, kept.counted_at) AS other (sms_id, at)
    WHERE sms_id <> ALL (excluded.sms_ids) AND at > clock_timestamp() - $5::interval"""

_COUNT: Final = f"""
INSERT INTO code_counts AS kept (phone_hash, sms_ids, counted_at)
SELECT phone_hash, ARRAY[sms_id], ARRAY[clock_timestamp()]
FROM unnest($1::bytea[], $2::uuid[]) AS asked (phone_hash, sms_id) ORDER BY phone_hash
ON CONFLICT (phone_hash) DO UPDATE SET (sms_ids, counted_at) = (
    SELECT array_agg(sms_id ORDER BY at) || excluded.sms_ids, array_agg(at ORDER BY at) || clock_timestamp()
    FROM {_OTHERS}
)
WHERE (
    SELECT count(*) < $6 AND count(*) FILTER (WHERE at > clock_timestamp() - $3::interval) < $4 FROM {_OTHERS}
)
RETURNING phone_hash"""  # noqa: S608 - constants only

_GIVE_BACK: Final = """
WITH locked AS MATERIALIZED (
    SELECT phone_hash FROM code_counts WHERE phone_hash = ANY ($1::bytea[]) ORDER BY phone_hash FOR UPDATE
)
UPDATE code_counts AS kept SET (sms_ids, counted_at) = (
    SELECT coalesce(array_agg(sms_id ORDER BY at), '{}'), coalesce(array_agg(at ORDER BY at), '{}')
    FROM unnest(kept.sms_ids, kept.counted_at) AS other (sms_id, at) WHERE sms_id <> ALL ($2::uuid[])
)
FROM locked WHERE kept.phone_hash = locked.phone_hash"""


async def count(connection: Any, codes: Mapping[bytes, UUID]) -> AbstractSet[bytes]:
    """Count one code (its SMS) for each phone (its hash); the phones that had room for it."""
    phones = sorted(codes)
    windows = (SOON, FEW, A_DAY, MANY)
    counted = await connection.fetch(_COUNT, phones, [codes[phone] for phone in phones], *windows)
    return {row["phone_hash"] for row in counted}


async def give_back(connection: Any, phones: Collection[bytes], sms_ids: Collection[UUID]) -> None:
    """These codes never reached these phones: their places are free again."""
    await connection.execute(_GIVE_BACK, list(phones), list(sms_ids))
