"""The ceiling: how many SMS may go out in a minute, of all senders together, counted in one row.

The standard lane stops at four fifths of it, the critical one at all of it: so what is standard stops first, and a
fifth is the critical lane's own. Counted by whole seconds, so that no 60 seconds in a row hold more than the ceiling.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import structlog
from prometheus_client import Counter

log = structlog.get_logger()

LENGTH = 60

_REACHED = Counter("spacehub_sms_ceiling_reached", "Times that SMS had to wait because of the ceiling", ["lane"])

_LOCK: Final = """
WITH locked AS MATERIALIZED (SELECT seconds, critical, standard FROM last_minute FOR UPDATE)
SELECT seconds, critical, standard, extract(epoch FROM clock_timestamp())::float8 AS now FROM locked"""

_WRITE: Final = "UPDATE last_minute SET seconds = $1, critical = $2, standard = $3"


@dataclass(frozen=True, slots=True)
class Second:
    """How many SMS of each lane went in the second `at` (since 1970)."""

    at: int
    critical: int
    standard: int


@dataclass(frozen=True, slots=True)
class Minute:
    """What any minute that ends `now` may hold: seconds in their order."""

    now: float
    seconds: tuple[Second, ...]

    def take(self, wanted: int, *, critical: bool, ceiling: int) -> tuple[int, "Minute"]:
        """How many of `wanted` SMS may go now, and the minute with them in it."""
        recent = [second for second in self.seconds if second.at >= int(self.now) - LENGTH]
        left = ceiling - sum(second.critical + second.standard for second in recent)
        if not critical:
            left = min(left, ceiling * 4 // 5 - sum(second.standard for second in recent))
        taken = max(0, min(wanted, left))
        if taken:
            taking = Second(int(self.now), taken * critical, taken * (not critical))
            if recent and recent[-1].at == taking.at:
                last = recent.pop()
                taking = Second(taking.at, last.critical + taking.critical, last.standard + taking.standard)
            recent.append(taking)
        return taken, Minute(self.now, tuple(recent))

    @property
    def wait(self) -> timedelta:
        """How long until the oldest second is over a minute old: before that there is no more room."""
        oldest = self.seconds[0].at if self.seconds else self.now
        return timedelta(seconds=oldest + LENGTH + 1 - self.now)


class Ceiling:
    """At most `most` SMS in any minute by all senders on this database."""

    def __init__(self, most: int) -> None:
        self._most = most

    async def take(self, connection: Any, wanted: int, *, critical: bool) -> tuple[int, timedelta]:
        """How many of `wanted` SMS may go now, counted within the caller's transaction; the others, after what wait."""
        row = await connection.fetchrow(_LOCK)
        seconds = zip(row["seconds"], row["critical"], row["standard"], strict=True)
        minute = Minute(row["now"], tuple(Second(*second) for second in seconds))
        taken, minute = minute.take(wanted, critical=critical, ceiling=self._most)
        if taken:
            columns = zip(*((second.at, second.critical, second.standard) for second in minute.seconds), strict=True)
            await connection.execute(_WRITE, *columns)
        return taken, minute.wait

    def alert(self, *, critical: bool) -> None:
        """An SMS has to wait for the next minute: whoever watches should look who sends so many."""
        lane = "critical" if critical else "standard"
        _REACHED.labels(lane).inc()
        log.warning("ceiling_reached", lane=lane, ceiling=self._most)
