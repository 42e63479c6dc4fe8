"""Who publishes what on `spacehub.events`: the other domains, and our own services."""

from collections.abc import Mapping

from spacehub.events import facts
from spacehub.events.facts import Fact

ANY_DOMAIN: tuple[type[Fact], ...] = (facts.NotificationRequested,)
"""What every domain may publish besides its own."""

DOMAINS: Mapping[str, tuple[type[Fact], ...]] = {
    "auth": (facts.OtpRequested,),
    "billing": (facts.BillIssued, facts.BillCancelled, facts.PaymentConfirmed),
    "leasing": (facts.ContractSigned, facts.ContractEnded),
    "identity": (facts.UserUpdated, facts.UserDeleted),
    "owners": (facts.SmsBudgetSet,),
    "notifier": (),
}
"""The other domains. `notifier` stands for those that only ask for texts of their own."""

SERVICES: Mapping[str, tuple[type[Fact], ...]] = {
    "inbox-api": (),
    "sms-sender": (
        facts.SmsSent,
        facts.SmsFailed,
        facts.SmsExpired,
        facts.SmsBlocked,
        facts.SmsUnknown,
        facts.SmsBudgetThresholdReached,
    ),
    "push-sender": (facts.PushSent, facts.PushFailed, facts.DeviceDied),
    "devices-api": (),
    "scheduler": (facts.BillOverdue, facts.ContractExpiring, facts.DevicesPruneDue, facts.RetentionDue),
}
"""Our own services."""


def domain_of(fact: type[Fact]) -> str:
    """The domain that publishes it; `notifier` for what any domain may publish. Raises KeyError for our services'."""
    if fact in ANY_DOMAIN:
        return "notifier"
    for name, theirs in DOMAINS.items():
        if fact in theirs:
            return name
    raise KeyError(fact.type)
