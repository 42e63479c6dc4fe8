"""The data of every event on `spacehub.events`: frozen models, one per type."""

from typing import Annotated, ClassVar, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from spacehub.events.values import Amount, Day, Identifier, Moment, Month, Phone

Locale = Literal["mn", "en"]
Channel = Literal["inbox", "push", "sms"]


class Value(BaseModel):
    """Frozen, strict (no number where a string belongs), blind to keys it does not know."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")


class Recipient(Value):
    """Whom an event concerns; what is absent is looked up in the contact data."""

    user_id: UUID
    phone: Phone | None = None
    locale: Locale | None = None


class Fact(Value):
    """What happened, or what is asked for. `type` is the short type, which is also the routing key."""

    type: ClassVar[str]

    @property
    def routing_key(self) -> str:
        return self.type

    @classmethod
    def routing_keys(cls) -> tuple[str, ...]:
        """Every routing key under which such a fact may travel."""
        return (cls.type,)


class OtpRequested(Fact):
    """auth asks for a one-time code to be sent; `expires_in` in seconds from the event's time."""

    type: ClassVar[str] = "otp.requested"
    phone: Phone
    code: Annotated[str, Field(pattern=r"^[0-9]{4,8}$", repr=False)]
    locale: Locale | None = None
    expires_in: Annotated[int, Field(gt=0, le=86_400)] = 300


class BillIssued(Fact):
    """billing issued a bill for `month`, payable until the end of `due_date`."""

    type: ClassVar[str] = "bill.issued"
    bill_id: Identifier
    owner_id: UUID
    recipient: Recipient
    month: Month
    amount: Amount
    due_date: Day


class BillCancelled(Fact):
    """billing withdrew a bill."""

    type: ClassVar[str] = "bill.cancelled"
    bill_id: Identifier


class PaymentConfirmed(Fact):
    """billing received the payment of a bill."""

    type: ClassVar[str] = "payment.confirmed"
    payment_id: Identifier
    bill_id: Identifier
    owner_id: UUID
    recipient: Recipient
    amount: Amount


class BillOverdue(Fact):
    """The scheduler saw a bill's due date pass unpaid."""

    type: ClassVar[str] = "bill.overdue"
    bill_id: Identifier
    owner_id: UUID
    recipient: Recipient
    amount: Amount
    due_date: Day


class _Lease(Fact):
    contract_id: Identifier
    owner_id: UUID
    recipient: Recipient
    property: Annotated[str, Field(min_length=1, max_length=200)]
    unit: Annotated[str, Field(min_length=1, max_length=64)]
    ends_on: Day


class ContractSigned(_Lease):
    """leasing signed or renewed a contract; the newest of one contract wins."""

    type: ClassVar[str] = "contract.signed"


class ContractExpiring(_Lease):
    """The scheduler saw a contract's last day come near."""

    type: ClassVar[str] = "contract.expiring"


class ContractEnded(Fact):
    """leasing ended a contract."""

    type: ClassVar[str] = "contract.ended"
    contract_id: Identifier


class UserUpdated(Fact):
    """identity changed a user's phone or locale; a key that is absent changes nothing, `phone: null` forgets it."""

    type: ClassVar[str] = "user.updated"
    user_id: UUID
    phone: Phone | None = None
    locale: Locale | None = None


class UserDeleted(Fact):
    """identity deleted a user: everything kept about them goes."""

    type: ClassVar[str] = "user.deleted"
    user_id: UUID


class NotificationRequested(Fact):
    """Any domain asks for a text of its own to be brought to up to 1000 people."""

    type: ClassVar[str] = "notification.requested"
    recipients: Annotated[tuple[Recipient, ...], Field(min_length=1, max_length=1000)]
    title: Annotated[str, Field(min_length=1, max_length=100)]
    body: Annotated[str, Field(min_length=1, max_length=500)]
    link: Annotated[str, Field(max_length=2000)] | None = None
    channels: Annotated[frozenset[Channel], Field(min_length=1)]
    critical: bool = False
    owner_id: UUID | None = None

    @property
    def routing_key(self) -> str:
        """Critical ones have a key of their own, so that they never wait behind a bulk run."""
        return f"{self.type}.critical" if self.critical else self.type

    @classmethod
    def routing_keys(cls) -> tuple[str, ...]:
        return cls.type, f"{cls.type}.critical"


class SmsBudgetSet(Fact):
    """An owner set the month's limit of SMS segments; None lifts it."""

    type: ClassVar[str] = "sms_budget.set"
    owner_id: UUID
    monthly_segments: Annotated[int, Field(ge=0, le=2**31 - 1)] | None


class SmsBudgetThresholdReached(Fact):
    """An owner's month passed 80 or 100 per cent of its segments: once per owner, month and level."""

    type: ClassVar[str] = "sms_budget.threshold_reached"
    owner_id: UUID
    month: Month
    level: Literal[80, 100]
    used: int
    limit: int


class DevicesPruneDue(Fact):
    """It is time to forget devices that were not seen for `older_than_days`."""

    type: ClassVar[str] = "devices.prune_due"
    older_than_days: Annotated[int, Field(gt=0)]


class RetentionDue(Fact):
    """It is time to forget read notifications and settled deliveries of the given ages, in days."""

    type: ClassVar[str] = "retention.due"
    read_older_than_days: Annotated[int, Field(gt=0)]
    settled_older_than_days: Annotated[int, Field(gt=0)]


class SmsAttempt(Value):
    """One attempt to hand an SMS to the carrier, started at `at`: `unsent` for a passing `reason`, `unknown` when
    nobody can tell. `duration_ms` is the gateway call's; absent when its sender was never heard of again.
    """

    number: int
    at: Moment
    outcome: Literal["sent", "failed", "unsent", "unknown"]
    reason: str | None = None
    duration_ms: int | None = None


class _SmsOutcome(Fact):
    """How an SMS ended. `source_id` is the id of the event that caused it; `duration_ms` is the last gateway call's.

    `history` holds the attempts that are over, in the order in which they were heard of.
    """

    sms_id: UUID
    source_id: str
    reason: str | None = None
    message_id: str | None = None
    segments: int
    attempts: int
    duration_ms: int
    history: tuple[SmsAttempt, ...] = ()


class SmsSent(_SmsOutcome):
    """The carrier took it; `message_id` is the carrier's."""

    type: ClassVar[str] = "sms.sent"


class SmsFailed(_SmsOutcome):
    """Refused for good, or its retries are used up."""

    type: ClassVar[str] = "sms.failed"


class SmsExpired(_SmsOutcome):
    """Its time passed before it could be sent."""

    type: ClassVar[str] = "sms.expired"


class SmsBlocked(_SmsOutcome):
    """Not sent on purpose: `budget`, `rate_limited`, or `withdrawn` because its subject was closed."""

    type: ClassVar[str] = "sms.blocked"


class SmsUnknown(_SmsOutcome):
    """It may have been sent: the carrier's answer never came, and it is not sent again by itself."""

    type: ClassVar[str] = "sms.unknown"


class _PushOutcome(Fact):
    """How a push ended: `sent` and `dead` count devices."""

    push_id: UUID
    source_id: str
    user_id: UUID
    sent: int
    dead: int
    reason: str | None = None


class PushSent(_PushOutcome):
    """At least one device was reached."""

    type: ClassVar[str] = "push.sent"


class PushFailed(_PushOutcome):
    """No device was reached; `reason` says why."""

    type: ClassVar[str] = "push.failed"


class DeviceDied(Fact):
    """FCM no longer knows a token of ours; `resolved_at` is when the token was looked up."""

    type: ClassVar[str] = "device.died"
    token: Annotated[str, Field(min_length=1, max_length=4096, repr=False)]
    user_id: UUID
    reason: str
    resolved_at: Moment
