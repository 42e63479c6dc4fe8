"""The ledger, the closings and the outbox."""

from alembic import op
from spacehub import outbox

revision = "0001"
down_revision = None

_SMS = """
CREATE TABLE sms (
    sms_id uuid PRIMARY KEY,
    source text NOT NULL,
    source_id text NOT NULL,
    about text NOT NULL,
    user_id uuid,
    owner_id uuid,
    subject text,
    critical boolean NOT NULL,
    expires_at timestamptz NOT NULL,
    segments integer NOT NULL,
    phone_hash bytea NOT NULL,
    phone_last4 text NOT NULL,
    status text NOT NULL CONSTRAINT sms_status
        CHECK (status IN ('claimed', 'waiting', 'sent', 'failed', 'expired', 'blocked', 'unknown')),
    reason text,
    message_id text,
    attempts integer NOT NULL,
    ambiguous integer NOT NULL DEFAULT 0,
    series integer NOT NULL DEFAULT 1,
    lease_until timestamptz,
    claimed_by uuid,
    attempt_started_at timestamptz,
    duration_ms integer NOT NULL DEFAULT 0,
    attempt_log jsonb NOT NULL DEFAULT '[]',
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    settled_at timestamptz
)"""
_CLOSINGS = """
CREATE TABLE closings (
    subject text PRIMARY KEY,
    closed boolean NOT NULL,
    decided_at timestamptz NOT NULL
)"""


def upgrade() -> None:
    op.execute(_SMS)
    op.execute("CREATE INDEX sms_lease_ran_out ON sms (lease_until) WHERE status = 'claimed'")
    op.execute(_CLOSINGS)
    op.execute(outbox.CREATE_TABLE)
    for index in outbox.CREATE_INDEXES:
        op.execute(index)
