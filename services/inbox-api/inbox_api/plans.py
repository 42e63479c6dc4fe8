"""Plans: all that one batch of events changes, ready to be written."""

from dataclasses import dataclass, field
from uuid import UUID

from spacehub.events.envelope import Event

from inbox_api.closings import Closing
from inbox_api.contacts import Contact
from inbox_api.deliveries import Delivery, Notification


@dataclass(slots=True)
class Plan:
    """New and changed rows. `requests` holds what the senders are asked for, by delivery.

    What was closed within the batch is already withdrawn in it; `closed_subjects` and `closed_users` say what is to be
    withdrawn of that which waits from before.
    """

    contacts: dict[UUID, Contact] = field(default_factory=dict)
    closings: dict[str, Closing] = field(default_factory=dict)
    closed_subjects: set[str] = field(default_factory=set)
    closed_users: set[UUID] = field(default_factory=set)
    deliveries: dict[UUID, Delivery] = field(default_factory=dict)
    notifications: list[Notification] = field(default_factory=list)
    requests: dict[UUID, Event] = field(default_factory=dict)
