"""What becomes of a message that failed: a pure function, told by a table."""

from datetime import UTC, datetime, timedelta

import pytest
from spacehub.consuming.fates import Dead, Retry, fate_of
from spacehub.errors import NotNow, PermanentFailure, TemporaryFailure, Unreadable
from spacehub.topology import TIERS

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


def failure(retry_in: float | None = None, not_after: float | None = None) -> TemporaryFailure:
    return TemporaryFailure(
        "busy",
        retry_in=None if retry_in is None else seconds(retry_in),
        not_after=None if not_after is None else NOW + seconds(not_after),
    )


@pytest.mark.parametrize(
    ("attempts", "tier"), [(0, "5s"), (1, "30s"), (2, "2m"), (3, "10m"), (4, "1h")], ids=lambda value: str(value)
)
def test_each_failure_waits_in_the_next_tier(attempts: int, tier: str) -> None:
    assert fate_of(failure(), attempts=attempts, now=NOW) == Retry(tier, attempts + 1, "busy")


@pytest.mark.parametrize("attempts", [5, 6, 1000])
def test_after_the_last_tier_the_retries_are_used_up(attempts: int) -> None:
    assert fate_of(failure(), attempts=attempts, now=NOW) == Dead(
        attempts + 1, "retries_exhausted: busy", exhausted=True
    )


@pytest.mark.parametrize(
    ("attempts", "retry_in", "tier"),
    [(0, 1, "5s"), (0, 5, "5s"), (0, 6, "30s"), (0, 121, "10m"), (2, 1, "2m"), (0, 3600, "1h"), (0, 86_400, "1h")],
)
def test_wait_that_the_cause_asked_for_is_the_least(attempts: int, retry_in: float, tier: str) -> None:
    assert fate_of(failure(retry_in), attempts=attempts, now=NOW) == Retry(tier, attempts + 1, "busy")


@pytest.mark.parametrize(
    ("attempts", "retry_in", "not_after", "tier"),
    [
        (4, None, 3600, "1h"),
        (4, None, 3599, "10m"),
        (4, None, 60, "30s"),
        (4, None, 5, "5s"),
        (4, None, 1, "5s"),
        (4, None, -60, "5s"),
        (0, 600, 150, "2m"),
        (0, None, 3600, "5s"),
    ],
)
def test_no_tier_reaches_beyond_the_end_of_the_message(
    attempts: int, retry_in: float | None, not_after: float, tier: str
) -> None:
    assert fate_of(failure(retry_in, not_after), attempts=attempts, now=NOW) == Retry(tier, attempts + 1, "busy")


@pytest.mark.parametrize(
    ("attempts", "retry_in", "not_after", "tier"),
    [
        (0, None, None, "5s"),
        (4, None, None, "5s"),
        (0, 3, None, "5s"),
        (4, 40, None, "30s"),
        (0, 120, None, "2m"),
        (99, 7200, None, "1h"),
        (0, 600, 60, "30s"),
    ],
)
def test_not_now_uses_no_attempt_up_and_comes_back_no_later_than_told(
    attempts: int, retry_in: float | None, not_after: float | None, tier: str
) -> None:
    asked = failure(retry_in, not_after)
    fault = NotNow("lease held", retry_in=asked.retry_in, not_after=asked.not_after)

    assert fate_of(fault, attempts=attempts, now=NOW) == Retry(tier, attempts, "lease held")


@pytest.mark.parametrize(
    "fault", [PermanentFailure("never"), Unreadable("never")], ids=lambda fault: type(fault).__name__
)
@pytest.mark.parametrize("attempts", [0, 5, 9])
def test_what_can_never_work_dies_at_once(fault: Exception, attempts: int) -> None:
    fate = fate_of(fault, attempts=attempts, now=NOW)

    assert isinstance(fate, Dead)
    assert (fate.attempts, fate.reason, fate.exhausted) == (attempts + 1, "never", False)


def test_what_nobody_foresaw_is_retried_and_told_by_its_class_alone() -> None:
    secret = KeyError("99112233")

    assert fate_of(secret, attempts=0, now=NOW) == Retry("5s", 1, "unexpected: KeyError", unforeseen=True)
    assert fate_of(secret, attempts=5, now=NOW) == Dead(
        6, "retries_exhausted: unexpected: KeyError", exhausted=True, unforeseen=True
    )


def test_queue_may_have_tiers_of_its_own() -> None:
    tiers = {"soon": seconds(1), "later": seconds(2)}

    assert fate_of(failure(), attempts=1, now=NOW, tiers=tiers) == Retry("later", 2, "busy")
    assert isinstance(fate_of(failure(), attempts=2, now=NOW, tiers=tiers), Dead)


def test_tiers_grow() -> None:
    assert list(TIERS.values()) == sorted(TIERS.values())
    assert list(TIERS) == ["5s", "30s", "2m", "10m", "1h"]
