"""What a delivery's timeline is told from: its sender's attempts, when it was asked for again, ends since replaced."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.execute(
        """
        ALTER TABLE deliveries
            ADD COLUMN attempt_log jsonb NOT NULL DEFAULT '[]',
            ADD COLUMN handed_on_again timestamptz[] NOT NULL DEFAULT '{}',
            ADD COLUMN earlier_ends jsonb NOT NULL DEFAULT '[]'"""
    )
