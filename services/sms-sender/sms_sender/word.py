"""A person's word on an SMS of which nobody knows whether it was sent."""

from dataclasses import dataclass
from typing import Literal
from uuid import UUID

Action = Literal["settled_as_sent", "settled_as_not_sent", "sent_again"]


@dataclass(frozen=True, slots=True)
class Word:
    """What `by` says became of the SMS, and how they know (`reason`); `resend` asks for another attempt."""

    sms_id: UUID
    was_sent: bool
    by: str
    reason: str
    resend: bool = False

    @property
    def action(self) -> Action:
        """What the audit calls it."""
        if self.was_sent:
            return "settled_as_sent"
        return "sent_again" if self.resend else "settled_as_not_sent"
