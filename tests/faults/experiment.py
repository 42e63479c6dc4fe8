"""One experiment: what is offered, what goes wrong, and which ends that explains."""

from dataclasses import dataclass, field

from tests.faults.faults import Fault
from tests.faults.load import Load
from tests.faults.world import Setting


@dataclass(frozen=True)
class Experiment:
    """One fault under load. The short form is part of `make test`.

    `allowed` and `dead` are the ends and dead letters that it explains (None: any number); `patience` is how many
    seconds everything may take to come to its end once it is healed.
    """

    name: str
    title: str
    fault: Fault
    load: Load = field(default_factory=Load)
    allowed: frozenset[str] = frozenset()
    dead: int | None = 0
    patience: float = 120.0
    setting: Setting = field(default_factory=Setting)
    short: bool = False


IN_DOUBT = frozenset({"sms unknown"})
"""What a fault explains that takes away a sender, its database or its answers between claim and record."""

QUICK_CHECK = Setting(environment=(("INBOX_API_CHECK_AFTER", "PT20S"), ("INBOX_API_CHECK_EVERY", "PT1S")))
"""Deliveries without an end are asked for again after 20 s instead of 10 minutes."""
