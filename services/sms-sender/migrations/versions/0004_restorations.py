"""What may have been sent without this ledger's knowing, after it was restored to an earlier moment."""

from alembic import op

revision = "0004"
down_revision = "0003"

_RESTORATIONS = """
CREATE TABLE restorations (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    until timestamptz NOT NULL,
    by text NOT NULL,
    noted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    lifted_at timestamptz,
    lifted_by text
)"""


def upgrade() -> None:
    op.execute(_RESTORATIONS)
