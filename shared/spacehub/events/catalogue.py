"""Every type of message there is, by its short name."""

from types import MappingProxyType

from spacehub.events import facts, requests
from spacehub.events.facts import Fact

EVENTS_EXCHANGE = "spacehub.events"
DELIVERIES_EXCHANGE = "spacehub.deliveries"
TYPE_PREFIX = "mn.spacehub."

FACTS: tuple[type[Fact], ...] = (
    facts.OtpRequested,
    facts.BillIssued,
    facts.BillCancelled,
    facts.PaymentConfirmed,
    facts.BillOverdue,
    facts.ContractSigned,
    facts.ContractEnded,
    facts.ContractExpiring,
    facts.UserUpdated,
    facts.UserDeleted,
    facts.NotificationRequested,
    facts.SmsBudgetSet,
    facts.SmsBudgetThresholdReached,
    facts.DevicesPruneDue,
    facts.RetentionDue,
    facts.SmsSent,
    facts.SmsFailed,
    facts.SmsExpired,
    facts.SmsBlocked,
    facts.SmsUnknown,
    facts.PushSent,
    facts.PushFailed,
    facts.DeviceDied,
)
"""What other domains and our own services publish on `spacehub.events`."""

REQUESTS: tuple[type[Fact], ...] = (requests.SmsRequested, requests.SmsEndAsked, requests.PushRequested)
"""What inbox-api publishes on `spacehub.deliveries`."""

BY_TYPE = MappingProxyType({TYPE_PREFIX + model.type: model for model in (*FACTS, *REQUESTS)})
"""The model of each full type, e.g. `mn.spacehub.bill.issued`."""
