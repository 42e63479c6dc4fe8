"""Timers, learned facts, deleted users, slots, the gate, and the outbox."""

from alembic import op
from spacehub import outbox

revision = "0001"
down_revision = None

TABLES = (
    # Each row is written twice or three times in its life: room in the page keeps the versions together.
    """
    CREATE TABLE timers (
        subject text NOT NULL,
        purpose text NOT NULL,
        state text NOT NULL,
        as_of timestamptz,
        due_at timestamptz,
        lapses_at timestamptz,
        deadline date,
        user_id uuid,
        data jsonb,
        told date[] NOT NULL DEFAULT '{}',
        PRIMARY KEY (subject, purpose),
        CONSTRAINT armed_or_erased CHECK (
            (state = 'armed') = (due_at IS NOT NULL AND deadline IS NOT NULL AND user_id IS NOT NULL
                                 AND data IS NOT NULL)
            AND (state = 'armed' OR coalesce(due_at::text, lapses_at::text, deadline::text, user_id::text, data::text)
                                    IS NULL)
        )
    ) WITH (fillfactor = 80)""",
    """
    CREATE TABLE learned_facts (
        fact_id uuid PRIMARY KEY,
        learned_at timestamptz NOT NULL
    )""",
    """
    CREATE TABLE deleted_users (
        user_id uuid PRIMARY KEY,
        deleted_at timestamptz NOT NULL
    )""",
    """
    CREATE TABLE slots (
        purpose text NOT NULL,
        slot_at timestamptz NOT NULL,
        fired_at timestamptz,
        PRIMARY KEY (purpose, slot_at)
    )""",
    """
    CREATE TABLE release_gate (
        the_one boolean PRIMARY KEY DEFAULT true CONSTRAINT only_one CHECK (the_one),
        opens_at timestamptz NOT NULL
    )""",
    "INSERT INTO release_gate (opens_at) VALUES ('epoch')",
)

INDEXES = (
    "CREATE INDEX timers_due ON timers (due_at, subject) WHERE state = 'armed'",
    "CREATE INDEX timers_user ON timers (user_id) WHERE user_id IS NOT NULL",
    "CREATE INDEX learned_facts_age ON learned_facts USING brin (learned_at)",
)


def upgrade() -> None:
    for statement in (*TABLES, *INDEXES, outbox.CREATE_TABLE, *outbox.CREATE_INDEXES):
        op.execute(statement)
