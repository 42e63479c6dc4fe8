"""The ledger's SQL. Times come from the database's clock; the frequent statements take any number of rows at once."""

from collections.abc import Sequence
from typing import Any, Final

_ASKED = """sms_id, source, source_id, about, user_id, owner_id, subject, critical, expires_at, segments,
    phone_hash, phone_last4"""
_ASKED_ROWS = """unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::uuid[], $6::uuid[], $7::text[],
    $8::boolean[], $9::timestamptz[], $10::integer[], $11::bytea[], $12::text[]"""

CLOSED: Final = """EXISTS (
    SELECT FROM closings WHERE closed AND closings.subject = ANY (ARRAY[locked.subject, 'user:' || locked.user_id])
)"""
"""Whether the subject or the user of the row `locked` is closed."""

_MONTH_OF: Final = "date_trunc('month', {} AT TIME ZONE 'Asia/Ulaanbaatar')::date"
THIS_MONTH: Final = _MONTH_OF.format("clock_timestamp()")

CLAIM_NEW: Final = f"""
INSERT INTO sms ({_ASKED}, status, attempts, lease_until, claimed_by, attempt_started_at, budget_month)
SELECT {_ASKED}, 'claimed', 1, clock.now + $14::interval, token, clock.now,
    CASE WHEN owner_id IS NOT NULL THEN {_MONTH_OF.format("clock.now")} END
FROM {_ASKED_ROWS}, $13::uuid[]) AS asked ({_ASKED}, token), (SELECT clock_timestamp() AS now) AS clock
WHERE expires_at > clock.now AND NOT EXISTS (
    SELECT FROM closings WHERE closed AND closings.subject = ANY (ARRAY[asked.subject, 'user:' || asked.user_id])
)
ORDER BY sms_id
ON CONFLICT (sms_id) DO NOTHING
RETURNING sms_id, about, owner_id, segments, phone_hash, claimed_by, attempt_started_at,
    expires_at - attempt_started_at AS valid, {_MONTH_OF.format("attempt_started_at")} AS month"""  # noqa: S608
"""First attempts of SMS that nobody has heard of, that are valid and not closed; the others are left out. The rows are
locked in one order, so that two batches with the same SMS cannot block each other."""

UNCLAIM: Final = "DELETE FROM sms WHERE sms_id = ANY ($1::uuid[])"
"""Takes back first attempts within the transaction that made them."""

ENSURE: Final = f"""
INSERT INTO sms ({_ASKED}, status, attempts)
SELECT {_ASKED}, 'waiting', 0 FROM {_ASKED_ROWS}) AS asked ({_ASKED})
ON CONFLICT (sms_id) DO NOTHING"""  # noqa: S608 - constants only

HOLD: Final = f"""
INSERT INTO sms ({_ASKED}, status, attempts, ambiguous, reason, settled_at)
SELECT {_ASKED}, 'unknown', 0, 1, $13::text, clock_timestamp() FROM {_ASKED_ROWS}) AS asked ({_ASKED})
ON CONFLICT (sms_id) DO NOTHING"""  # noqa: S608 - constants only

LOCK: Final = f"""
WITH locked AS MATERIALIZED (SELECT * FROM sms WHERE sms_id = $1 FOR UPDATE)
SELECT *, clock_timestamp() AS now, {THIS_MONTH} AS month, {CLOSED} AS closed FROM locked"""  # noqa: S608 - constants only
"""The row as it is once it is ours to change: the clock is read after the wait for the lock."""

START: Final = """
UPDATE sms SET status = 'claimed', claimed_by = $2, lease_until = clock_timestamp() + $3::interval,
    attempt_started_at = CASE WHEN $4 THEN attempt_started_at ELSE clock_timestamp() END,
    attempts = attempts + CASE WHEN $4 THEN 0 ELSE 1 END,
    series = series + CASE WHEN $5 THEN 1 ELSE 0 END,
    ambiguous = ambiguous + CASE WHEN $6 THEN 1 ELSE 0 END,
    reason = CASE WHEN $5 THEN NULL WHEN $6 THEN $7 ELSE reason END,
    attempt_log = attempt_log || $8::jsonb,
    budget_month = CASE WHEN owner_id IS NOT NULL THEN coalesce(budget_month, $9::date) END,
    settled_at = NULL
WHERE sms_id = $1
RETURNING attempts, series, ambiguous, attempt_log, attempt_started_at, expires_at - clock_timestamp() AS valid"""

END: Final = """
UPDATE sms SET status = $2, reason = $3, message_id = $4, ambiguous = ambiguous + CASE WHEN $5 THEN 1 ELSE 0 END,
    attempt_log = attempt_log || $6::jsonb, duration_ms = coalesce($7, duration_ms),
    lease_until = NULL, settled_at = clock_timestamp()
WHERE sms_id = $1"""

HOLD_BUDGET: Final = "UPDATE sms SET budget_month = $2 WHERE sms_id = $1"

ADD_TO_LOG: Final = "UPDATE sms SET attempt_log = attempt_log || $2::jsonb WHERE sms_id = $1"

MARK: Final = """
WITH marks AS (
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::integer[], $7::boolean[],
        $8::boolean[], $9::jsonb[], $10::text[], $11::text[], $12::text[], $13::bytea[])
    AS mark (sms_id, token, status, reason, message_id, duration_ms, tried, doubtful, entry,
        event_id, routing_key, content_type, body)
), marked AS (
    UPDATE sms SET
        status = mark.status,
        reason = CASE WHEN mark.status = 'waiting' AND NOT mark.doubtful AND sms.status = 'claimed' THEN sms.reason
                      ELSE mark.reason END,
        message_id = mark.message_id,
        duration_ms = CASE WHEN mark.tried THEN mark.duration_ms ELSE sms.duration_ms END,
        attempts = sms.attempts - CASE WHEN mark.tried THEN 0 ELSE 1 END,
        ambiguous = sms.ambiguous + mark.doubtful::integer - (sms.status = 'unknown')::integer,
        attempt_log = sms.attempt_log || coalesce(mark.entry, '[]'),
        lease_until = NULL,
        settled_at = CASE WHEN mark.status = 'waiting' THEN NULL ELSE clock_timestamp() END
    FROM marks AS mark
    WHERE sms.sms_id = mark.sms_id AND sms.claimed_by = mark.token
        AND (sms.status = 'claimed' OR sms.status = 'unknown' AND NOT mark.doubtful AND mark.status <> 'unknown')
    RETURNING sms.claimed_by AS token, sms.sms_id, sms.status, sms.about, sms.owner_id, sms.phone_hash
), published AS (
    INSERT INTO outbox (message_id, lane, exchange, routing_key, content_type, body)
    SELECT event_id, 'standard', $14, routing_key, content_type, body
    FROM marks JOIN marked USING (token) WHERE event_id IS NOT NULL
    ON CONFLICT (message_id) DO NOTHING
)
SELECT * FROM marked"""
"""What became of attempts, with their events, where the attempt is still the row's newest: it runs, or its lease ran
out and it was given up as unknown, which anything definite corrects. Answers those marked."""


def columns(lines: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """The lines turned into one array per column."""
    return [list(column) for column in zip(*lines, strict=True)]
