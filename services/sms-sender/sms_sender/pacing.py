"""The pace that all senders keep together: permits for single calls, taken from one row on the database's clock.

Permits are given for moments (GCRA, the virtual scheduling form of ITU-T I.371): the next one no sooner than the
limit's interval after the last. The critical lane reserves moments ahead, as many as it needs. The standard lane takes
only what is free about now, and never more than four fifths: so a critical text always finds room at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from spacehub import database
from spacehub.outbox import Lane

from sms_sender.gathering import Gathered

if TYPE_CHECKING:
    import asyncpg

STANDARD_SHARE = 0.8
SPARED = 0.05
"""How far we stay below the limit: between a permit and its call lies a claim, which is not always equally quick."""

AHEAD = timedelta(milliseconds=50)
"""How far ahead the standard lane may reserve, so that a high pace needs no statement for each permit."""

_CRITICAL: Final = """
WITH locked AS MATERIALIZED (SELECT total FROM gateway_pace FOR UPDATE),
timed AS MATERIALIZED (SELECT now, greatest(total, now) AS first FROM locked, clock_timestamp() AS now),
moved AS (UPDATE gateway_pace SET total = timed.first + $1 * $2::interval FROM timed)
SELECT now, first, $1::integer AS given FROM timed"""
"""Moments for $1 permits, $2 apart, from `first` on."""

_STANDARD: Final = """
WITH locked AS MATERIALIZED (SELECT total, standard FROM gateway_pace FOR UPDATE),
timed AS MATERIALIZED (SELECT now, greatest(total, standard, now) AS first FROM locked, clock_timestamp() AS now),
counted AS MATERIALIZED (
    SELECT now, first, least($1::integer, 1 + floor(extract(epoch FROM now + $4::interval - first)
                                                    / extract(epoch FROM $3::interval)))::integer AS given
    FROM timed
), moved AS (
    UPDATE gateway_pace
    SET total = counted.first + (counted.given - 1) * $3::interval + $2::interval,
        standard = counted.first + counted.given * $3::interval
    FROM counted WHERE counted.given > 0
)
SELECT now, first, greatest(given, 0) AS given FROM counted"""
"""Moments for up to $1 permits, $3 apart, from `first` on, none later than $4 from now; $2 is the limit's interval."""


@dataclass(frozen=True, slots=True)
class Permit:
    """`given`: one call may start in `wait`. Otherwise: ask again then. `at` is that moment by the database's clock."""

    given: bool
    wait: timedelta
    at: datetime


class Pace:
    """At most `rate` calls a second by all senders on this database."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]", *, rate: float) -> None:
        self._pool = pool
        self._interval = timedelta(seconds=1 / (rate * (1 - SPARED)))
        self._ask = {"critical": Gathered(self._reserve), "standard": Gathered(self._take)}

    async def ask(self, lane: Lane) -> Permit:
        """A permit for one call of `lane`, or when to ask again. Raises Away when the database cannot be reached."""
        return await self._ask[lane](None)

    async def _reserve(self, callers: Sequence[None]) -> Sequence[Permit]:
        async with database.reading(self._pool) as connection:
            row = await connection.fetchrow(_CRITICAL, len(callers), self._interval)
        return [_permit(row["now"], row["first"] + number * self._interval) for number in range(len(callers))]

    async def _take(self, callers: Sequence[None]) -> Sequence[Permit]:
        apart = self._interval / STANDARD_SHARE
        async with database.reading(self._pool) as connection:
            row = await connection.fetchrow(_STANDARD, len(callers), self._interval, apart, AHEAD)
        given = [_permit(row["now"], row["first"] + number * apart) for number in range(row["given"])]
        again = row["first"] + row["given"] * apart - AHEAD
        later = Permit(given=False, wait=max(again - row["now"], timedelta(milliseconds=1)), at=again)
        return given + [later] * (len(callers) - len(given))


def _permit(now: datetime, at: datetime) -> Permit:
    return Permit(given=True, wait=at - now, at=at)
