"""The tables of the notifying half: events, contacts, feeds, notifications, deliveries, closings, outbox."""

from alembic import op
from spacehub import outbox

revision = "0001"
down_revision = None

TABLES = (
    """
    CREATE TABLE events (
        event_id text NOT NULL,
        source text NOT NULL,
        type text NOT NULL,
        occurred_at timestamptz,
        received_at timestamptz NOT NULL,
        traceparent text,
        PRIMARY KEY (event_id, source)
    )""",
    """
    CREATE TABLE contacts (
        user_id uuid PRIMARY KEY,
        phone text,
        phone_at timestamptz,
        locale text CONSTRAINT known_locale CHECK (locale IN ('mn', 'en')),
        locale_at timestamptz,
        sms boolean NOT NULL DEFAULT true,
        push boolean NOT NULL DEFAULT true
    )""",
    # Numbers and counts are updated in place: room in each page keeps the new row version beside the old one.
    """
    CREATE TABLE feeds (
        user_id uuid PRIMARY KEY,
        last_seq bigint NOT NULL,
        unread integer NOT NULL
    ) WITH (fillfactor = 70)""",
    """
    CREATE TABLE notifications (
        id uuid PRIMARY KEY,
        user_id uuid NOT NULL,
        seq bigint NOT NULL,
        type text NOT NULL,
        title text NOT NULL,
        body text NOT NULL,
        link text,
        created_at timestamptz NOT NULL,
        read_at timestamptz,
        CONSTRAINT notifications_feed UNIQUE (user_id, seq)
    )""",
    """
    CREATE TABLE deliveries (
        id uuid PRIMARY KEY,
        source text NOT NULL,
        event_id text NOT NULL,
        type text NOT NULL,
        channel text NOT NULL CONSTRAINT known_channel CHECK (channel IN ('inbox', 'push', 'sms')),
        user_id uuid,
        owner_id uuid,
        subject text,
        critical boolean NOT NULL,
        locale text NOT NULL,
        phone_hash bytea,
        phone_last4 text,
        status text NOT NULL CONSTRAINT known_status CHECK
            (status IN ('pending', 'sent', 'failed', 'expired', 'blocked', 'suppressed', 'unknown')),
        reason text,
        available_at timestamptz,
        expires_at timestamptz NOT NULL,
        message_id text,
        segments integer,
        attempts integer,
        duration_ms integer,
        devices_reached integer,
        devices_dead integer,
        created_at timestamptz NOT NULL,
        ended_at timestamptz
    )""",
    """
    CREATE TABLE closings (
        subject text PRIMARY KEY,
        closed boolean NOT NULL,
        decided_at timestamptz NOT NULL,
        source text NOT NULL,
        event_id text NOT NULL
    )""",
)

INDEXES = (
    "CREATE INDEX deliveries_event ON deliveries (event_id)",
    "CREATE INDEX deliveries_status ON deliveries (status, created_at, id)",
    "CREATE INDEX deliveries_user ON deliveries (user_id, created_at, id) WHERE user_id IS NOT NULL",
    "CREATE INDEX deliveries_phone ON deliveries (phone_hash, created_at, id) WHERE phone_hash IS NOT NULL",
)


def upgrade() -> None:
    for statement in (*TABLES, *INDEXES, outbox.CREATE_TABLE, *outbox.CREATE_INDEXES):
        op.execute(statement)
