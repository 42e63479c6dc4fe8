"""The outbox: messages written in the transaction that decides to send them, published later by the forwarder.

A row that is committed will be published at least once; a row that is rolled back never existed. Rows are deleted
once the broker has confirmed them, or withdrawn before that because their subject was closed.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from spacehub.events.envelope import STRUCTURED, Message

Lane = Literal["critical", "standard"]

WAKE_UP = "outbox_critical"
"""The NOTIFY channel of the critical lane. The standard lane is polled: a NOTIFY in every commit halves the rate."""

CREATE_TABLE = """
CREATE TABLE outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    message_id text NOT NULL UNIQUE,
    lane text NOT NULL CHECK (lane IN ('critical', 'standard')),
    available_at timestamptz NOT NULL DEFAULT now(),
    exchange text NOT NULL,
    routing_key text NOT NULL,
    content_type text NOT NULL,
    headers jsonb NOT NULL DEFAULT '{}',
    body bytea NOT NULL,
    subject text,
    user_id uuid,
    returns integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now()
)"""
"""The first form of the table, for each service's first migration."""

CREATE_INDEXES = (
    "CREATE INDEX outbox_due ON outbox (lane, available_at, id)",
    "CREATE INDEX outbox_subject ON outbox (subject) WHERE subject IS NOT NULL",
    "CREATE INDEX outbox_user ON outbox (user_id) WHERE user_id IS NOT NULL",
)

_INSERT = """
INSERT INTO outbox
  (message_id, lane, available_at, exchange, routing_key, content_type, headers, body, subject, user_id)
SELECT
   message_id, lane, coalesce(available_at, now()), exchange, routing_key, content_type, headers, body, subject, user_id
FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::text[], $5::text[], $6::text[], $7::jsonb[], $8::bytea[],
            $9::text[], $10::uuid[])
  AS row (message_id, lane, available_at, exchange, routing_key, content_type, headers, body, subject, user_id)
ON CONFLICT (message_id) DO NOTHING"""

_WITHDRAW = """
DELETE FROM outbox WHERE subject = ANY($1::text[]) OR user_id = ANY($2::uuid[]) RETURNING message_id"""


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """One message to publish: ready-made bytes and where they go. `available_at` None means now.

    `subject` (`bill:123`) and `user_id` say what closes it; `message_id` is unique among the rows that wait.
    """

    message_id: str
    exchange: str
    routing_key: str
    body: bytes
    lane: Lane = "standard"
    content_type: str = STRUCTURED
    headers: dict[str, Any] = field(default_factory=dict)
    available_at: datetime | None = None
    subject: str | None = None
    user_id: UUID | None = None


def row_of(
    message: Message,
    *,
    exchange: str,
    lane: Lane = "standard",
    available_at: datetime | None = None,
    subject: str | None = None,
    user_id: UUID | None = None,
) -> OutboxRow:
    """The outbox row that publishes `message`."""
    return OutboxRow(
        message_id=message.id,
        exchange=exchange,
        routing_key=message.routing_key,
        body=message.body,
        lane=lane,
        content_type=message.content_type,
        available_at=available_at,
        subject=subject,
        user_id=user_id,
    )


async def write(connection: Any, rows: Sequence[OutboxRow]) -> None:
    """Add `rows` within the caller's transaction; a message that already waits is left as it is."""
    if not rows:
        return
    await connection.execute(
        _INSERT,
        [row.message_id for row in rows],
        [row.lane for row in rows],
        [row.available_at for row in rows],
        [row.exchange for row in rows],
        [row.routing_key for row in rows],
        [row.content_type for row in rows],
        [row.headers for row in rows],
        [row.body for row in rows],
        [row.subject for row in rows],
        [row.user_id for row in rows],
    )
    if any(row.lane == "critical" for row in rows):
        await connection.execute(f"NOTIFY {WAKE_UP}")


async def withdraw(connection: Any, *, subjects: Iterable[str] = (), users: Iterable[UUID] = ()) -> list[str]:
    """Delete what still waits for `subjects` or `users`; the message ids of what was deleted."""
    deleted = await connection.fetch(_WITHDRAW, list(subjects), list(users))
    return [row["message_id"] for row in deleted]
