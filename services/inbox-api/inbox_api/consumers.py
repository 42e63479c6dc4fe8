"""The queues that inbox-api consumes, and which deed each of them feeds."""

from collections.abc import Mapping

from spacehub.consuming.settling import Handler
from spacehub.consuming.subscription import Subscription
from spacehub.topology import BY_NAME


def subscriptions(
    *,
    notify_critical: Handler,
    notify_standard: Handler,
    settle: Handler,
    batches: Mapping[str, int],
    workers: Mapping[str, int],
) -> list[Subscription]:
    """The three subscriptions; `batches` and `workers` by the queue's last word."""
    handlers = {"critical": notify_critical, "standard": notify_standard, "outcomes": settle}
    return [
        Subscription(BY_NAME[f"inbox-api.{name}"], handle, batch=batches[name], workers=workers[name])
        for name, handle in handlers.items()
    ]
