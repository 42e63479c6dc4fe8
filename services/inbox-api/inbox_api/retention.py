"""Retention: how old what we keep may become, and what has to be kept longer than anybody asks."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from spacehub.events.facts import RetentionDue

REDRIVEN_WITHIN = timedelta(days=31)
"""A dead letter is kept for 30 days and may be redriven: by then its event must be known still, or it counts as new."""


@dataclass(frozen=True, slots=True)
class Ages:
    """Notifications read, deliveries ended and events received before these moments may go."""

    read: datetime
    settled: datetime
    received: datetime


def ages(due: RetentionDue, *, at: datetime, now: datetime) -> Ages:
    """What `due`, asked for `at`, lets go `now`. The guards against a second copy outlive the dead letters."""
    settled = _before(at, due.settled_older_than_days)
    return Ages(
        read=_before(at, due.read_older_than_days), settled=settled, received=min(settled, now - REDRIVEN_WITHIN)
    )


def _before(moment: datetime, days: int) -> datetime:
    try:
        return moment - timedelta(days=days)
    except OverflowError:
        return datetime.min.replace(tzinfo=UTC)
