"""Room in each page of notifications: a row that is read is updated beside itself and leaves the indexes alone."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.execute("ALTER TABLE notifications SET (fillfactor = 85)")
