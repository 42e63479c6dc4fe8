"""The ledger: who may hand which SMS to the carrier now, and what became of it.

One attempt of an SMS at a time holds the right to call the carrier, under a lease on the database's clock. An outcome
and the event that tells of it are committed together; so are an attempt and what it takes of a budget.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import structlog
from pydantic import SecretStr
from spacehub import database
from spacehub.errors import Away, NotNow
from spacehub.events.requests import SmsRequested
from spacehub.privacy import phone_trace

from sms_sender import marks, rows, statements
from sms_sender.allowance import Allowance
from sms_sender.attempts import Attempt, End, Held, Resume, Settled, Start, State, Verdict, end_when_refused, verdict
from sms_sender.attempts import verdict_when_exhausted as judge_exhausted
from sms_sender.gathering import Gathered
from sms_sender.outcomes import LEASE_RAN_OUT, RESTORED, Outcome
from sms_sender.recorder import Recorder

if TYPE_CHECKING:
    import asyncpg

log = structlog.get_logger()

LEASE = timedelta(seconds=20)


class Ledger:
    """The ledger in PostgreSQL, for many tasks at once.

    `lease` is how long an attempt may run, `ceiling` how many SMS may start in a minute.
    """

    def __init__(
        self,
        pool: "asyncpg.Pool[asyncpg.Record]",
        *,
        phone_key: SecretStr,
        lease: timedelta = LEASE,
        ceiling: int | None = None,
    ) -> None:
        self._pool = pool
        self._phone_key = phone_key
        self._lease = lease
        self._allowance = Allowance(ceiling=ceiling)
        self._claim_new = {lane: Gathered(partial(self._claim_all_new, critical=lane)) for lane in (True, False)}
        self._recorder = Recorder(pool)
        self._unanswered: dict[UUID, list[UUID]] = {}

    async def claim(self, sms: SmsRequested, *, segments: int) -> Attempt | None:
        """The attempt that may start now; None when the SMS has its end already (told once more), or gets it here.

        Raises NotNow while another worker's attempt runs or the ceiling is reached, and Away: then ask again here, and
        a claim that was committed without our hearing of it is recognised.
        """
        asked_at = monotonic()
        token = self._token_for(sms.sms_id)
        try:
            started = await self._claim_new[sms.critical]((self._asked(sms, segments), token))
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
        await self._recorder.persist(marks.of_end(attempt, outcome, took=took, at=datetime.now(UTC)))

    async def release(self, attempt: Attempt, reason: str, *, took: timedelta) -> None:
        """Nothing was sent: the SMS waits for its next attempt."""
        await self._recorder.persist(marks.of_wait(attempt, reason, took=took, doubtful=False))

    async def doubt(self, attempt: Attempt, reason: str, *, took: timedelta) -> None:
        """It may have been sent, and is to be sent once more all the same: the SMS waits for that."""
        await self._recorder.persist(marks.of_wait(attempt, reason, took=took, doubtful=True))

    async def give_back(self, attempt: Attempt) -> None:
        """Nothing was tried: the SMS waits as if the attempt had not been."""
        await self._recorder.persist(marks.of_nothing(attempt))

    async def hold(self, sms: SmsRequested, *, segments: int) -> bool:
        """Whether `sms` rests in doubt since a restore: if the ledger has never heard of it, or no person has spoken.

        Its end is not told meanwhile. Once it has expired it is held no longer.
        """
        async with database.transaction(self._pool) as connection:
            asked = statements.columns([self._asked(sms, segments)])
            await connection.execute(statements.HOLD, *asked, RESTORED)
            state = rows.state_of(await connection.fetchrow(statements.LOCK, sms.sms_id))
        return (state.status, state.reason) == ("unknown", RESTORED) and state.expires_at > state.now

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

    async def _claim_all_new(self, claims: Sequence[tuple[Sequence[Any], UUID]], *, critical: bool) -> Sequence[Any]:
        asked = statements.columns([asked for asked, _ in claims])
        tokens = [token for _, token in claims]
        async with database.transaction(self._pool) as connection:
            claimed = await connection.fetch(statements.CLAIM_NEW, *asked, tokens, self._lease)
            refused = await self._allowance.take_all(connection, claimed, critical=critical)
            if refused:
                await connection.execute(statements.UNCLAIM, refused)
        started = {row["claimed_by"]: row for row in claimed if row["sms_id"] not in refused}
        return [started.get(token) for token in tokens]

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
            await connection.execute(statements.ENSURE, *statements.columns([self._asked(sms, segments)]))
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
                    if refusal := await self._allowance.take(connection, row):
                        end = end_when_refused(rows.state_of(row), step, refusal)
                        await rows.end(connection, row, end.outcome, lost=end.lost)
                        return None
            return await self._start(connection, row, step, token=token, resumes=resumes, asked_at=asked_at)

    async def _start(
        self, connection: Any, row: Any, step: Start, *, token: UUID, resumes: bool, asked_at: float
    ) -> Attempt:
        entry = rows.lost_entry(row) if step.lost else []
        started = await connection.fetchrow(
            statements.START,
            row["sms_id"],
            token,
            self._lease,
            resumes,
            step.reopens,
            step.lost,
            LEASE_RAN_OUT,
            entry,
            row["month"],
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
