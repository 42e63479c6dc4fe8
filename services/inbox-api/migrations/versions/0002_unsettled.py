"""The deliveries without an end, to look at again; of those that were there before nothing was kept."""

from alembic import op

revision = "0002"
down_revision = "0001"

STATEMENTS = (
    """
    CREATE TABLE unsettled (
        delivery_id uuid PRIMARY KEY,
        sealed bytea,
        look_at timestamptz NOT NULL,
        looked integer NOT NULL DEFAULT 0
    )""",
    """
    INSERT INTO unsettled (delivery_id, look_at)
    SELECT id, expires_at + interval '10 minutes' FROM deliveries WHERE status = 'pending'""",
    "CREATE INDEX unsettled_look ON unsettled (look_at)",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
