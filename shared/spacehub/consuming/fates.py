"""What becomes of a message whose handler raised: a pure function from the error and the attempts so far."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from spacehub.errors import PermanentFailure, TemporaryFailure
from spacehub.topology import TIERS


@dataclass(frozen=True, slots=True)
class Retry:
    """Wait in `tier`, then come back with `attempts` used up."""

    tier: str
    attempts: int
    reason: str
    unforeseen: bool = False


@dataclass(frozen=True, slots=True)
class Dead:
    """Go to the dead letters. `exhausted` tells used-up retries from what could never work."""

    attempts: int
    reason: str
    exhausted: bool = False
    unforeseen: bool = False


def fate_of(fault: Exception, *, attempts: int, now: datetime, tiers: Mapping[str, timedelta] = TIERS) -> Retry | Dead:
    """What becomes of a message that failed with `fault` after `attempts` earlier failures.

    Each counted failure moves one tier up; after the last tier the retries are used up. An error that nobody foresaw
    is retried like a temporary one. What nothing was tried of comes back no later than it was told to, so that it is
    there when a rest ends.
    """
    names = list(tiers)
    unforeseen = not isinstance(fault, TemporaryFailure)
    match fault:
        case PermanentFailure():
            return Dead(attempts + 1, fault.reason)
        case TemporaryFailure(counts=False):
            longest = min(filter(None, (fault.not_after, now + (fault.retry_in or timedelta()))))
            return Retry(_tier(tiers, len(names) - 1, None, longest, now), attempts, fault.reason)
        case TemporaryFailure():
            reason, retry_in, not_after = fault.reason, fault.retry_in, fault.not_after
        case _:
            reason, retry_in, not_after = f"unexpected: {type(fault).__name__}", None, None
    if attempts >= len(names):
        return Dead(attempts + 1, f"retries_exhausted: {reason}", exhausted=True, unforeseen=unforeseen)
    tier = _tier(tiers, attempts, retry_in, not_after, now)
    return Retry(tier, attempts + 1, reason, unforeseen=unforeseen)


def _tier(
    tiers: Mapping[str, timedelta], position: int, retry_in: timedelta | None, not_after: datetime | None, now: datetime
) -> str:
    """The first tier from `position` on that waits `retry_in`, or a shorter one where that would end after `not_after`.

    The shortest tier is the least that a message waits.
    """
    names = list(tiers)
    while retry_in is not None and tiers[names[position]] < retry_in and position + 1 < len(names):
        position += 1
    while not_after is not None and now + tiers[names[position]] > not_after and position > 0:
        position -= 1
    return names[position]
