"""The pace of the gateway, what facts say, what people decide, and finding what was left over."""

from alembic import op

revision = "0002"
down_revision = "0001"

_PACE = """
CREATE TABLE gateway_pace (
    single boolean PRIMARY KEY DEFAULT true CONSTRAINT gateway_pace_single CHECK (single),
    total timestamptz NOT NULL DEFAULT to_timestamp(0),
    standard timestamptz NOT NULL DEFAULT to_timestamp(0)
)"""
_LEARNED_FACTS = """
CREATE TABLE learned_facts (
    fact_id uuid PRIMARY KEY,
    learned_at timestamptz NOT NULL DEFAULT clock_timestamp()
)"""
_BUDGET_LIMITS = """
CREATE TABLE budget_limits (
    owner_id uuid PRIMARY KEY,
    monthly_segments integer,
    set_at timestamptz NOT NULL
)"""
_AUDIT = """
CREATE TABLE audit (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    by text NOT NULL,
    action text NOT NULL,
    sms_id uuid NOT NULL,
    reason text NOT NULL
)"""


def upgrade() -> None:
    op.execute(_PACE)
    op.execute("INSERT INTO gateway_pace DEFAULT VALUES")
    op.execute(_LEARNED_FACTS)
    op.execute(_BUDGET_LIMITS)
    op.execute(_AUDIT)
    op.execute("ALTER TABLE closings ADD COLUMN recorded_at timestamptz NOT NULL DEFAULT clock_timestamp()")
    op.execute("ALTER TABLE sms ALTER COLUMN phone_hash DROP NOT NULL, ALTER COLUMN phone_last4 DROP NOT NULL")
    op.execute("CREATE INDEX sms_person ON sms (user_id) WHERE user_id IS NOT NULL")
    op.execute("CREATE INDEX sms_waiting_until ON sms (expires_at) WHERE status = 'waiting'")
    op.execute("CREATE INDEX sms_in_doubt ON sms (settled_at) WHERE status = 'unknown'")
