"""A fuse against our own configuration: when most tokens seem to belong to another project, it is us who are wrong."""

from collections import deque
from collections.abc import Callable, Sequence
from time import monotonic

import structlog
from prometheus_client import Gauge

from push_sender.answers import SENDER_ID_MISMATCH
from push_sender.fates import Dead, Fate, Passing, Reached

log = structlog.get_logger()

_SUSPECTED = Gauge(
    "spacehub_push_wrong_project_suspected", "1 while most tokens seem to belong to another project: look at our key"
)

MANY = 5
WITHIN = 60.0
"""So many mismatches within so many seconds, and at least half of all tokens FCM gave a verdict on, are not chance."""


class Fuse:
    """Remembers the verdicts of the last minute."""

    def __init__(self, *, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._verdicts: deque[tuple[float, int, int]] = deque()

    def judged(self, fates: Sequence[Fate]) -> list[Fate]:
        """`fates`, but with every mismatch passing while they are too many: nothing is deleted for our mistake."""
        mismatches = sum(map(_is_mismatch, fates))
        verdicts = sum(isinstance(fate, Reached | Dead) for fate in fates)
        if verdicts:
            self._verdicts.append((self._clock(), mismatches, verdicts))
        suspected = self._suspected()
        _SUSPECTED.set(suspected)
        if not (suspected and mismatches):
            return list(fates)
        log.error("wrong_project_suspected", mismatches=mismatches, verdicts=verdicts)
        return [Passing(SENDER_ID_MISMATCH) if _is_mismatch(fate) else fate for fate in fates]

    def _suspected(self) -> bool:
        while self._verdicts and self._verdicts[0][0] < self._clock() - WITHIN:
            self._verdicts.popleft()
        mismatches = sum(mismatches for _, mismatches, _ in self._verdicts)
        return mismatches >= MANY and 2 * mismatches >= sum(verdicts for _, _, verdicts in self._verdicts)


def _is_mismatch(fate: Fate) -> bool:
    return isinstance(fate, Dead) and fate.reason == SENDER_ID_MISMATCH
