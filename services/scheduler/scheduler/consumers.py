"""What the scheduler listens to: the facts that arm, move and disarm timers."""

from spacehub.consuming.settling import Handler
from spacehub.consuming.subscription import Subscription
from spacehub.topology import BY_NAME


def facts(*, learn: Handler, batch: int) -> Subscription:
    """The facts, up to `batch` in a transaction; one worker, so that they are learned in the order of arrival."""
    return Subscription(BY_NAME["scheduler.facts"], learn, batch=batch)
