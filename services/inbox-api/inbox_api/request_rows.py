"""Requests for the senders as rows of the outbox, the first time and every time after."""

from datetime import datetime
from uuid import UUID

from spacehub import outbox
from spacehub.events import envelope
from spacehub.events.catalogue import DELIVERIES_EXCHANGE
from spacehub.events.envelope import Event


def request_row(
    request: Event, *, critical: bool, available_at: datetime | None, subject: str | None, user_id: UUID | None
) -> outbox.OutboxRow:
    """The row that hands `request` to its sender; `available_at` None means now."""
    return outbox.row_of(
        envelope.write(request),
        exchange=DELIVERIES_EXCHANGE,
        lane="critical" if critical else "standard",
        available_at=available_at,
        subject=subject,
        user_id=user_id,
    )
