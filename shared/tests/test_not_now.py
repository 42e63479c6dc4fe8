"""What was not tried comes back in time, and as if nothing had been."""

from datetime import UTC, datetime, timedelta

import pytest
from spacehub.consuming.fates import Retry, fate_of
from spacehub.errors import NotNow

NOW = datetime(2026, 12, 5, 10, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("retry_in", "expires_in", "tier"),
    [
        (None, None, "5s"),
        (0, None, "5s"),
        (5, None, "5s"),
        (29.9, None, "5s"),
        (30, None, "30s"),
        (119, None, "30s"),
        (120, None, "2m"),
        (3599, None, "10m"),
        (3600, None, "1h"),
        (86_400, None, "1h"),
        (3600, 700, "10m"),
        (3600, 100, "30s"),
        (3600, 1, "5s"),
        (30, 3600, "30s"),
        (None, 3600, "5s"),
    ],
)
@pytest.mark.parametrize("attempts", [0, 3, 5, 9])
def test_it_waits_in_the_longest_tier_that_ends_in_time(
    retry_in: float | None, expires_in: float | None, tier: str, attempts: int
) -> None:
    not_now = NotNow(
        "the lane rests",
        retry_in=None if retry_in is None else timedelta(seconds=retry_in),
        not_after=None if expires_in is None else NOW + timedelta(seconds=expires_in),
    )

    assert fate_of(not_now, attempts=attempts, now=NOW) == Retry(tier, attempts, "the lane rests")
