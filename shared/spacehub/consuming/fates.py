"""What becomes of a message whose handler raised: a pure function from the error and the attempts so far."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from spacehub.errors import PermanentFailure, TemporaryFailure
from spacehub.topology import TIERS

SHORTEST = next(iter(TIERS))


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


def fate_of(fault: Exception, *, attempts: int, now: datetime) -> Retry | Dead:
    """What becomes of a message that failed with `fault` after `attempts` earlier failures.

    Each counted failure moves one tier up; after the last tier the retries are used up. An error that nobody foresaw
    is retried like a temporary one.
    """
    unforeseen = not isinstance(fault, TemporaryFailure)
    match fault:
        case PermanentFailure():
            return Dead(attempts + 1, fault.reason)
        case TemporaryFailure(counts=False):
            return Retry(_tier(SHORTEST, fault.retry_in, fault.not_after, now), attempts, fault.reason)
        case TemporaryFailure():
            reason, retry_in, not_after = fault.reason, fault.retry_in, fault.not_after
        case _:
            reason, retry_in, not_after = f"unexpected: {type(fault).__name__}", None, None
    if attempts >= len(TIERS):
        return Dead(attempts + 1, f"retries_exhausted: {reason}", exhausted=True, unforeseen=unforeseen)
    return Retry(_tier(list(TIERS)[attempts], retry_in, not_after, now), attempts + 1, reason, unforeseen=unforeseen)


def _tier(at_least: str, retry_in: timedelta | None, not_after: datetime | None, now: datetime) -> str:
    """The first tier not below `at_least` or `retry_in`, but never one that ends after `not_after`."""
    names = list(TIERS)
    chosen = at_least
    for name in names[names.index(at_least) :]:
        chosen = name
        if retry_in is None or TIERS[name] >= retry_in:
            break
    while not_after is not None and now + TIERS[chosen] > not_after and chosen != SHORTEST:
        chosen = names[names.index(chosen) - 1]
    return chosen
