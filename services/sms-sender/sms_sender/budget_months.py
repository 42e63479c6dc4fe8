"""The owners' months in PostgreSQL: segments are reserved before a text is sent, given back if it never was.

Every function works within the caller's transaction, and locks months in the order of their owners.
"""

from collections.abc import Collection, Iterable, Mapping
from collections.abc import Set as AbstractSet
from datetime import date
from typing import Any, Final
from uuid import UUID

import structlog
from prometheus_client import Counter
from spacehub import outbox
from spacehub.events.catalogue import EVENTS_EXCHANGE
from spacehub.events.envelope import write

from sms_sender.budget import Level, Standing
from sms_sender.statements import THIS_MONTH

log = structlog.get_logger()

_TOLD = Counter("spacehub_sms_thresholds_told", "Levels of owners' months that were told", ["level"])

_STANDING = "owner_id, month, used, told_80, told_100"
_LIMIT = "(SELECT monthly_segments FROM budget_limits AS own WHERE own.owner_id = kept.owner_id)"

_RESERVE: Final = f"""
INSERT INTO budget_months AS kept (owner_id, month, used)
SELECT owner_id, $3, segments
FROM unnest($1::uuid[], $2::bigint[]) AS asked (owner_id, segments) LEFT JOIN budget_limits USING (owner_id)
WHERE $4 OR coalesce(segments <= monthly_segments, true)
ORDER BY owner_id
ON CONFLICT (owner_id, month) DO UPDATE SET used = kept.used + excluded.used
WHERE $4 OR coalesce(kept.used + excluded.used <= {_LIMIT}, true)
RETURNING {_STANDING}, {_LIMIT} AS limit"""  # noqa: S608 - constants only
"""Adds segments to owners' months, to each all or nothing: what would go beyond the limit is left out, unless $4."""

_BEGIN: Final = """
INSERT INTO budget_months (owner_id, month) SELECT owner_id, $2 FROM unnest($1::uuid[]) AS asked (owner_id)
ORDER BY owner_id ON CONFLICT DO NOTHING"""

_LOCK: Final = f"""
SELECT {_STANDING}, {_LIMIT} AS limit FROM budget_months AS kept
WHERE owner_id = ANY ($1::uuid[]) AND month = $2 ORDER BY owner_id FOR UPDATE"""  # noqa: S608 - constants only

_NOTE: Final = """
UPDATE budget_months SET told_80 = told_80 OR $3, told_100 = told_100 OR $4 WHERE owner_id = $1 AND month = $2"""

_GIVE_BACK: Final = """
WITH held AS MATERIALIZED (
    SELECT sms_id, owner_id, budget_month AS month, segments FROM sms
    WHERE sms_id = ANY ($1::uuid[]) AND budget_month IS NOT NULL
), locked AS MATERIALIZED (
    SELECT owner_id, month FROM budget_months WHERE (owner_id, month) IN (SELECT owner_id, month FROM held)
    ORDER BY owner_id, month FOR UPDATE
), freed AS (
    UPDATE sms SET budget_month = NULL FROM held WHERE sms.sms_id = held.sms_id
)
UPDATE budget_months AS kept SET used = kept.used - given.segments
FROM (SELECT owner_id, month, sum(segments) AS segments FROM held GROUP BY owner_id, month) AS given
JOIN locked USING (owner_id, month)
WHERE kept.owner_id = given.owner_id AND kept.month = given.month"""


async def reserve(connection: Any, wanted: Mapping[UUID, int], *, month: date, critical: bool) -> AbstractSet[UUID]:
    """Reserve so many segments for each owner; the owners for whom they fit. `critical` ones fit always."""
    owners = sorted(wanted)
    segments = [wanted[owner] for owner in owners]
    reserved = [_standing(row) for row in await connection.fetch(_RESERVE, owners, segments, month, critical)]
    await _tell(connection, reserved)
    return {standing.owner_id for standing in reserved}


async def refuse(connection: Any, owner: UUID, *, month: date) -> None:
    """A text of this owner does not fit: whoever was never told so is told now."""
    await connection.execute(_BEGIN, [owner], month)
    await _tell(connection, map(_standing, await connection.fetch(_LOCK, [owner], month)), refused=True)


async def give_back(connection: Any, sms_ids: Collection[UUID]) -> None:
    """What these SMS, whose rows the caller holds, have reserved is free again."""
    await connection.execute(_GIVE_BACK, list(sms_ids))


async def limits_changed(connection: Any, owners: Collection[UUID]) -> None:
    """Tell what the current month has reached by a new limit."""
    month = await connection.fetchval(f"SELECT {THIS_MONTH}")
    await _tell(connection, map(_standing, await connection.fetch(_LOCK, list(owners), month)))


async def _tell(connection: Any, standings: Iterable[Standing], *, refused: bool = False) -> None:
    """Publish the levels that were never told of these months, whose rows we hold."""
    for standing in standings:
        if levels := list(standing.untold(refused=refused)):
            await connection.execute(_NOTE, standing.owner_id, standing.month, 80 in levels, 100 in levels)
            await outbox.write(connection, await _rows(connection, standing, levels))
            for level in levels:
                _TOLD.labels(str(level)).inc()
                log.info("threshold_reached", owner_id=str(standing.owner_id), threshold=level)


async def _rows(connection: Any, standing: Standing, levels: Iterable[Level]) -> list[outbox.OutboxRow]:
    now = await connection.fetchval("SELECT clock_timestamp()")
    return [outbox.row_of(write(standing.threshold(level, at=now)), exchange=EVENTS_EXCHANGE) for level in levels]


def _standing(row: Any) -> Standing:
    return Standing(**row)
