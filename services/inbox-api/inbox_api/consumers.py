"""The queues that inbox-api consumes, and which deed each of them feeds."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from spacehub.consuming.settling import Handler
from spacehub.consuming.subscription import Subscription
from spacehub.events.envelope import Event
from spacehub.events.facts import RetentionDue
from spacehub.topology import BY_NAME


class Queue(StrEnum):
    """The queues by their last word: events that must not wait, all others, and what the senders tell."""

    CRITICAL = "critical"
    STANDARD = "standard"
    OUTCOMES = "outcomes"


@dataclass(frozen=True, slots=True)
class Deeds:
    """What is done with messages. `prune` takes a `retention.due`."""

    notify: Handler
    prune: Callable[[Event], Awaitable[None]]
    settle: Handler


def subscribed(queue: Queue, deeds: Deeds, *, batch: int, workers: int) -> Subscription:
    """Outcomes are settled, `retention.due` prunes once the rest of its batch is done, everything else notifies."""

    async def handle(events: Sequence[Event]) -> None:
        pruning = [event for event in events if isinstance(event.data, RetentionDue)]
        notifying = [event for event in events if not isinstance(event.data, RetentionDue)]
        if notifying:
            await deeds.notify(notifying)
        for event in pruning:
            await deeds.prune(event)

    chosen = deeds.settle if queue is Queue.OUTCOMES else handle
    return Subscription(BY_NAME[f"inbox-api.{queue}"], chosen, batch=batch, workers=workers)
