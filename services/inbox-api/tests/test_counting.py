"""Deliveries are counted when they begin and when they end, by how and why, and never for what was rolled back."""

import pytest
from inbox_api.testing import NOON, Inbox, bill, event, payment
from prometheus_client import REGISTRY
from spacehub.errors import PermanentFailure
from spacehub.events import facts


class Counts:
    """How much higher the counters stand than at the beginning of the test."""

    def __init__(self) -> None:
        self._before: dict[tuple[str, ...], float] = {}
        self._before = dict(self._now())

    def _now(self) -> dict[tuple[str, ...], float]:
        names = ("spacehub_inbox_deliveries_begun_total", "spacehub_inbox_deliveries_ended_total")
        return {
            tuple(sample.labels.values()): sample.value - self._before.get(tuple(sample.labels.values()), 0)
            for family in REGISTRY.collect()
            for sample in family.samples
            if sample.name in names
        }

    def risen(self) -> dict[tuple[str, ...], float]:
        return {labels: count for labels, count in self._now().items() if count}


BEGUN = {("bill.issued", "inbox"): 1, ("bill.issued", "sms"): 1}


async def test_deliveries_are_counted_as_they_begin_and_end(inbox: Inbox) -> None:
    counts = Counts()

    await inbox.takes(event(bill(), id="bill"))
    begun = counts.risen()
    await inbox.takes(event(bill(), id="bill"))
    [row] = await inbox.rows("SELECT id FROM deliveries WHERE channel = 'sms'")
    told = facts.SmsFailed(
        sms_id=row["id"], source_id="bill", segments=1, attempts=1, duration_ms=9, reason="invalid_phone"
    )
    for _ in range(2):
        await inbox.is_told(event(told, at=NOON, source="/sms-sender"))

    assert begun == BEGUN | {("inbox", "sent", ""): 1}
    assert counts.risen() == begun | {("sms", "failed", "invalid_phone"): 1}


async def test_what_is_withdrawn_has_ended(inbox: Inbox) -> None:
    await inbox.takes(event(bill()))
    counts = Counts()

    await inbox.takes(event(payment()))

    assert counts.risen()["sms", "suppressed", "withdrawn"] == 1


async def test_what_is_refused_counts_for_nothing(inbox: Inbox) -> None:
    counts = Counts()

    with pytest.raises(PermanentFailure):
        await inbox.takes(event(bill()), event(facts.DevicesPruneDue(older_than_days=1)))

    assert counts.risen() == {}
