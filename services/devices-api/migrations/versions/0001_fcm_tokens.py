"""The table of devices."""

from alembic import op

revision = "0001"
down_revision = None

# `created_at` stands before `last_seen_at` so that a statement that sets both sets them in this order.
# A token as bytes, backslashes kept: the one way from text to bytea that may stand in a generated column.
TABLE = r"""
CREATE TABLE fcm_tokens (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id uuid NOT NULL,
    token text NOT NULL,
    kind text NOT NULL DEFAULT 'token' CONSTRAINT known_kind CHECK (kind IN ('token', 'fid')),
    platform text NOT NULL CONSTRAINT known_platform CHECK (platform IN ('ios', 'android', 'web')),
    device_label text,
    created_at timestamptz NOT NULL DEFAULT now(),
    last_seen_at timestamptz NOT NULL DEFAULT now(),
    token_hash bytea NOT NULL GENERATED ALWAYS AS (sha256(replace(token, '\', '\\')::bytea)) STORED
        CONSTRAINT fcm_tokens_token UNIQUE
) WITH (fillfactor = 85)"""


def upgrade() -> None:
    op.execute(TABLE)
    op.execute("CREATE INDEX fcm_tokens_user ON fcm_tokens (user_id)")
