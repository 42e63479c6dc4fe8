"""The queues that inbox-api consumes, and which deed each of them feeds."""

from enum import StrEnum

from spacehub.consuming.settling import Handler
from spacehub.consuming.subscription import Subscription
from spacehub.topology import BY_NAME


class Queue(StrEnum):
    """The queues by their last word: events that must not wait, all others, and what the senders tell."""

    CRITICAL = "critical"
    STANDARD = "standard"
    OUTCOMES = "outcomes"


def subscribed(queue: Queue, *, notify: Handler, settle: Handler, batch: int, workers: int) -> Subscription:
    """Outcomes are settled, everything else notifies."""
    handle = settle if queue is Queue.OUTCOMES else notify
    return Subscription(BY_NAME[f"inbox-api.{queue}"], handle, batch=batch, workers=workers)
