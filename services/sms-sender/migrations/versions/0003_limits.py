"""What owners' months have used, how many codes phones got, and what went out in the last minute."""

from alembic import op

revision = "0003"
down_revision = "0002"

_BUDGET_MONTHS = """
CREATE TABLE budget_months (
    owner_id uuid NOT NULL,
    month date NOT NULL,
    used bigint NOT NULL DEFAULT 0,
    told_80 boolean NOT NULL DEFAULT false,
    told_100 boolean NOT NULL DEFAULT false,
    PRIMARY KEY (owner_id, month)
)"""
_CODE_COUNTS = """
CREATE TABLE code_counts (
    phone_hash bytea PRIMARY KEY,
    sms_ids uuid[] NOT NULL,
    counted_at timestamptz[] NOT NULL
)"""
_LAST_MINUTE = """
CREATE TABLE last_minute (
    single boolean PRIMARY KEY DEFAULT true CONSTRAINT last_minute_single CHECK (single),
    seconds bigint[] NOT NULL DEFAULT '{}',
    critical integer[] NOT NULL DEFAULT '{}',
    standard integer[] NOT NULL DEFAULT '{}'
)"""


def upgrade() -> None:
    op.execute("ALTER TABLE sms ADD COLUMN budget_month date")
    op.execute(_BUDGET_MONTHS)
    op.execute(_CODE_COUNTS)
    op.execute(_LAST_MINUTE)
    op.execute("INSERT INTO last_minute DEFAULT VALUES")
