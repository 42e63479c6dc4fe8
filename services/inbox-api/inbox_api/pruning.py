"""Pruning: what is old and of no more use is forgotten, a bounded stretch of a table at a time."""

from collections.abc import Callable
from datetime import datetime
from typing import Literal, Protocol

import structlog
from prometheus_client import Counter
from spacehub.events.envelope import Event
from spacehub.events.facts import RetentionDue

from inbox_api.retention import Ages, ages

log = structlog.get_logger()

_PRUNED = Counter("spacehub_inbox_rows_pruned", "Rows forgotten because they were old", ["table"])


Table = Literal["notifications", "deliveries", "events"]

ORDER: tuple[Table, ...] = ("notifications", "deliveries", "events")
"""Events go last: only those of which no delivery is left."""


class Tables(Protocol):
    """The service's tables."""

    async def prune(self, table: Table, start: int, *, limits: Ages) -> tuple[int, int | None]:
        """Prune the stretch of `table` that begins at `start`, in a transaction of its own.

        How many rows went, and where the next stretch begins, None at the end. Raises Away.
        """


async def prune(event: Event, *, tables: Tables, clock: Callable[[], datetime]) -> None:
    """Forget what the retention that `event` asks for lets go. A second copy finds nothing more to forget."""
    assert isinstance(event.data, RetentionDue)
    now = clock()
    limits = ages(event.data, at=min(event.time or now, now), now=now)
    for table in ORDER:
        start: int | None = 0
        rows = 0
        while start is not None:
            pruned, start = await tables.prune(table, start, limits=limits)
            _PRUNED.labels(table).inc(pruned)
            rows += pruned
        log.info("pruned", table=table, rows=rows)
