"""The ledger: who may hand which SMS to the carrier now, and what became of it.

One attempt of an SMS at a time holds the right to call the carrier, under a lease on the database's clock. An outcome
and the event that tells of it are committed together. What the carrier answered is held on to while the database is
away: nobody else knows it.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import structlog
from pydantic import SecretStr
from spacehub import database
from spacehub.errors import Away, NotNow
from spacehub.events.catalogue import EVENTS_EXCHANGE
from spacehub.events.requests import SmsRequested
from spacehub.privacy import phone_trace
from spacehub.running import Backoff

from sms_sender import marks, rows, statements
from sms_sender.attempts import Attempt, End, Held, Resume, Settled, Start, State, Verdict, verdict
from sms_sender.attempts import verdict_when_exhausted as judge_exhausted
from sms_sender.gathering import Gathered
from sms_sender.marks import Mark
from sms_sender.outcomes import LEASE_RAN_OUT, Outcome

if TYPE_CHECKING:
    import asyncpg

log = structlog.get_logger()

LEASE = timedelta(seconds=20)


class Ledger:
    """The ledger in PostgreSQL, for many tasks at once. `lease` is how long an attempt may run."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]", *, phone_key: SecretStr, lease: timedelta = LEASE) -> None:
        self._pool = pool
        self._phone_key = phone_key
        self._lease = lease
        self._claim_new = Gathered(self._claim_all_new)
        self._mark = Gathered(self._mark_all)
        self._unanswered: dict[UUID, list[UUID]] = {}

    async def claim(self, sms: SmsRequested, *, segments: int) -> Attempt | None:
        """The attempt that may start now; None when the SMS has its end already (told once more), or gets it here.

        Raises NotNow while another worker's attempt runs, and Away: then ask again here, and a claim that was
        committed without our hearing of it is recognised.
        """
        asked_at = monotonic()
        token = self._token_for(sms.sms_id)
        try:
            started = await self._claim_new((self._asked(sms, segments), token))
            if started is None:
                return await self._judge(sms, segments, lambda state: verdict(state, token=token), token, asked_at)
        except Away:
            self._unanswered.setdefault(sms.sms_id, []).append(token)
            raise
        return Attempt(
            sms_id=sms.sms_id,
            token=token,
            number=1,
            series=1,
            about=sms.about,
            source_id=sms.source_id,
            segments=segments,
            ambiguous=0,
            started_at=started["attempt_started_at"],
            lease=self._lease,
            valid=started["valid"],
            asked_at=asked_at,
        )

    async def record(self, attempt: Attempt, outcome: Outcome, *, took: timedelta) -> None:
        """The SMS ends with `outcome`, and the event that says so is published."""
        await self._persist(marks.of_end(attempt, outcome, took=took, at=datetime.now(UTC)))

    async def release(self, attempt: Attempt, reason: str, *, took: timedelta) -> None:
        """Nothing was sent: the SMS waits for its next attempt."""
        await self._persist(marks.of_wait(attempt, reason, took=took, doubtful=False))

    async def doubt(self, attempt: Attempt, reason: str, *, took: timedelta) -> None:
        """It may have been sent, and is to be sent once more all the same: the SMS waits for that."""
        await self._persist(marks.of_wait(attempt, reason, took=took, doubtful=True))

    async def give_back(self, attempt: Attempt) -> None:
        """Nothing was tried: the SMS waits as if the attempt had not been."""
        await self._persist(marks.of_nothing(attempt))

    async def exhaust(self, sms: SmsRequested, *, segments: int) -> None:
        """Its retries are used up: it ends as failed, unless it has its end or another worker's attempt runs."""
        try:
            await self._judge(sms, segments, judge_exhausted, uuid4(), monotonic())
        except NotNow:
            log.warning("exhausted_while_claimed", sms_id=str(sms.sms_id))

    async def tell(self, sms_id: UUID) -> None:
        """Its end, if it has one, is told once more. Raises Away."""
        async with database.transaction(self._pool) as connection:
            row = await connection.fetchrow(statements.LOCK, sms_id)
            if row is not None and row["settled_at"] is not None:
                await rows.tell_again(connection, row)

    async def _claim_all_new(self, claims: Sequence[tuple[Sequence[Any], UUID]]) -> Sequence[Any]:
        asked = _columns([asked for asked, _ in claims])
        tokens = [token for _, token in claims]
        async with database.reading(self._pool) as connection:
            claimed = await connection.fetch(statements.CLAIM_NEW, *asked, tokens, self._lease)
        started = {row["claimed_by"]: row for row in claimed}
        return [started.get(token) for token in tokens]

    async def _mark_all(self, given: Sequence[Mark]) -> Sequence[bool]:
        columns = _columns(
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
        async with database.reading(self._pool) as connection:
            answer = await connection.fetch(statements.MARK, *columns, EVENTS_EXCHANGE)
        marked = {row["token"] for row in answer}
        for mark in given:
            if mark.message is not None and mark.token in marked:
                rows.count_end(mark.status, mark.reason)
        return [mark.token in marked for mark in given]

    async def _persist(self, mark: Mark) -> None:
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
                await rows.publish(connection, mark.message)

    async def _judge(
        self,
        sms: SmsRequested,
        segments: int,
        rule: Callable[[State], Verdict],
        token: UUID,
        asked_at: float,
    ) -> Attempt | None:
        """Lock the row and do what `rule` says of it."""
        async with database.transaction(self._pool) as connection:
            await connection.execute(statements.ENSURE, *_columns([self._asked(sms, segments)]))
            row = await connection.fetchrow(statements.LOCK, sms.sms_id)
            match rule(rows.state_of(row)):
                case Held():
                    raise NotNow("another_attempt_runs", not_after=sms.expires_at)
                case Settled():
                    await rows.tell_again(connection, row)
                    return None
                case End(outcome, lost):
                    await rows.end(connection, row, outcome, lost=lost)
                    return None
                case Resume():
                    step = Start()
                    resumes = True
                case Start() as step:
                    resumes = False
            return await self._start(connection, row, step, token=token, resumes=resumes, asked_at=asked_at)

    async def _start(
        self, connection: Any, row: Any, step: Start, *, token: UUID, resumes: bool, asked_at: float
    ) -> Attempt:
        entry = rows.lost_entry(row) if step.lost else []
        started = await connection.fetchrow(
            statements.START, row["sms_id"], token, self._lease, resumes, step.reopens, step.lost, LEASE_RAN_OUT, entry
        )
        return Attempt(
            sms_id=row["sms_id"],
            token=token,
            number=started["attempts"],
            series=started["series"],
            about=row["about"],
            source_id=row["source_id"],
            segments=row["segments"],
            ambiguous=started["ambiguous"],
            started_at=started["attempt_started_at"],
            lease=self._lease,
            valid=started["valid"],
            asked_at=asked_at,
            history=started["attempt_log"],
        )

    def _asked(self, sms: SmsRequested, segments: int) -> Sequence[Any]:
        phone = phone_trace(sms.phone, key=self._phone_key)
        return (
            sms.sms_id,
            sms.source,
            sms.source_id,
            sms.about,
            sms.user_id,
            sms.owner_id,
            sms.subject,
            sms.critical,
            sms.expires_at,
            segments,
            phone.hash,
            phone.last4,
        )

    def _token_for(self, sms_id: UUID) -> UUID:
        """A new token, or that of a claim of ours that may be in the ledger without our having heard so."""
        unheard = self._unanswered.pop(sms_id, [])
        if not unheard:
            return uuid4()
        token, *others = unheard
        if others:
            self._unanswered[sms_id] = others
        return token


def _columns(lines: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """The lines turned into one array per column."""
    return [list(column) for column in zip(*lines, strict=True)]
