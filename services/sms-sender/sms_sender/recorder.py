"""The recorder: what became of attempts, written down however long the database is away.

What the carrier answered exists nowhere but in this process until it is recorded.
"""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

import structlog
from spacehub import database
from spacehub.errors import Away
from spacehub.events.catalogue import EVENTS_EXCHANGE
from spacehub.running import Backoff

from sms_sender import allowance, rows, statements
from sms_sender.gathering import Gathered
from sms_sender.marks import Mark
from sms_sender.outcomes import UNSENT

if TYPE_CHECKING:
    import asyncpg

log = structlog.get_logger()


class Recorder:
    """Writes marks, those that come at the same time together."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self._pool = pool
        self._mark = Gathered(self._mark_all)

    async def _mark_all(self, given: Sequence[Mark]) -> Sequence[bool]:
        arrays = statements.columns(
            [
                (
                    mark.sms_id,
                    mark.token,
                    mark.status,
                    mark.reason,
                    mark.message_id,
                    mark.duration_ms,
                    mark.tried,
                    mark.doubtful,
                    mark.entry,
                    mark.message and mark.message.id,
                    mark.message and mark.message.routing_key,
                    mark.message and mark.message.content_type,
                    mark.message and mark.message.body,
                )
                for mark in given
            ]
        )
        unsent = any(mark.status in UNSENT for mark in given)
        async with (database.transaction if unsent else database.reading)(self._pool) as connection:
            answer = await connection.fetch(statements.MARK, *arrays, EVENTS_EXCHANGE)
            await allowance.give_back(connection, [row for row in answer if row["status"] in UNSENT])
        marked = {row["token"] for row in answer}
        for mark in given:
            if mark.message is not None and mark.token in marked:
                rows.count_end(mark.status, mark.reason)
        return [mark.token in marked for mark in given]

    async def persist(self, mark: Mark) -> None:
        """Write `mark` down, however long the database is away."""
        backoff, never = Backoff(), asyncio.Event()
        while True:
            try:
                if not await self._mark(mark):
                    await self._mark_late(mark)
                return
            except Away as away:
                log.warning("not_recorded_yet", sms_id=str(mark.sms_id), reason=str(away))
                await backoff.wait(never)

    async def _mark_late(self, mark: Mark) -> None:
        """The attempt was superseded, or this mark was committed before without our hearing of it.

        A text that was sent was sent, whatever the row says by now; anything else is only added to the log.
        """
        async with database.transaction(self._pool) as connection:
            row = await connection.fetchrow(statements.LOCK, mark.sms_id)
            if row is None or not mark.tried or mark.entry in row["attempt_log"]:
                return
            log.warning("attempt_superseded", sms_id=str(mark.sms_id), outcome=mark.status, found=row["status"])
            if mark.status != "sent" or row["status"] == "sent":
                await connection.execute(statements.ADD_TO_LOG, mark.sms_id, mark.entry)
            else:
                ended = (mark.status, mark.reason, mark.message_id, False, mark.entry, mark.duration_ms)
                await connection.execute(statements.END, mark.sms_id, *ended)
                await allowance.count_late(connection, row)
                await rows.publish(connection, mark.message)
