"""What can go wrong, told by what to do next: every error inherits its fate from one of these classes."""

from datetime import datetime, timedelta

from prometheus_client import Counter

_AWAY = Counter("spacehub_away", "Times that a server of ours could not be reached, or was too busy", ["server"])


class TemporaryFailure(Exception):
    """It may work later: the message waits in a retry tier and comes back.

    `retry_in` is the least time to wait, when the cause said one. `not_after` keeps the wait short enough
    that the message is looked at again before it expires. `counts` is False where nothing was tried (a lease held
    by another worker, a resting lane): then no attempt is used up.
    """

    counts = True

    def __init__(self, reason: str, *, retry_in: timedelta | None = None, not_after: datetime | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_in = retry_in
        self.not_after = not_after


class NotNow(TemporaryFailure):
    """Nothing was tried, nothing is used up: come back after `retry_in` at the latest, or as soon as tiers allow."""

    counts = False


class PermanentFailure(Exception):
    """It will never work as it is: the message goes to the dead-letter queue with `reason`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Unreadable(PermanentFailure):
    """The message is not an event we know: not JSON, no such type, or wrong data. The reason names the field."""


class Away(Exception):
    """A database or broker of ours cannot be reached: whatever needs it pauses, and no attempt is used up."""


def count_away(server: str) -> None:
    """`server` (`postgresql`, `rabbitmq`) was found away."""
    _AWAY.labels(server).inc()
