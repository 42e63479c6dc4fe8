"""One example of every event, with who publishes it: for readers of the contract documents."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from spacehub.events.catalogue import BY_TYPE, TYPE_PREFIX
from spacehub.events.facts import Fact

OURS = frozenset({"scheduler", "sms-sender", "push-sender"})
"""The publishers that are services of ours."""

_TIME = "2026-11-23T09:00:00+08:00"
_OWNER = "7c2de0aa-0d2b-4b62-8d77-5a1b3e6f2b01"
_USER = "0b8f5f0e-6f1d-4c0a-9a53-2f0c7f9d1a01"
_TENANT = {"user_id": _USER, "phone": "9911 2233"}
_BILL = {"bill_id": "A1201-2026-11"}
_PAYABLE = {**_BILL, "owner_id": _OWNER, "recipient": _TENANT}
_LEASE = {
    "contract_id": "5530",
    "owner_id": _OWNER,
    "recipient": _TENANT,
    "property": "Зайсан Плаза",
    "unit": "1201",
    "ends_on": "2027-11-27",
}
_SMS = {"sms_id": "5b0ef7a4-6f7e-5c7e-9a42-0c1f9f7f3d10", "source_id": "bill-2026-11-A1201"}
_PUSH = {
    "push_id": "9f6f0e0b-55a1-5d86-8f4e-6f1d2b7c4e21",
    "source_id": "bill-2026-11-A1201",
    "user_id": _USER,
}
_SMS_UNTRIED = {"segments": 1, "attempts": 0, "duration_ms": 0}
_TRIED_ONCE = {"segments": 1, "attempts": 1}
_ATTEMPT = {"number": 1, "at": "2026-11-23T01:00:02.250000Z"}


@dataclass(frozen=True)
class Example:
    """An event as its publisher would send it, structured mode."""

    publisher: str
    routing_key: str
    event: Mapping[str, Any]

    @property
    def fact(self) -> type[Fact]:
        """The model of its data."""
        return BY_TYPE[self.event["type"]]

    @property
    def is_critical(self) -> bool:
        """Whether it has the key of its own that goes before bulk runs."""
        return self.routing_key != self.fact.type

    @property
    def about(self) -> str:
        """What the event means."""
        return (self.fact.__doc__ or "").strip()


def _from(publisher: str, source: str, *events: tuple[str, str, Mapping[str, Any]]) -> Iterator[Example]:
    for key, id_, data in events:
        envelope = {
            "specversion": "1.0",
            "id": id_,
            "source": source,
            "type": TYPE_PREFIX + key.removesuffix(".critical"),
            "time": _TIME,
            "datacontenttype": "application/json",
            "data": data,
        }
        yield Example(publisher, key, envelope)


EXAMPLES: tuple[Example, ...] = (
    *_from(
        "auth",
        "/auth",
        ("otp.requested", "otp-1001", {"phone": "99112233", "code": "482913", "expires_in": 300}),
    ),
    *_from(
        "billing",
        "/billing",
        (
            "bill.issued",
            "bill-2026-11-A1201",
            {**_PAYABLE, "month": "2026-11", "amount": 1250000, "due_date": "2026-12-05"},
        ),
        ("bill.cancelled", "cancel-2026-11-A1201", _BILL),
        ("payment.confirmed", "payment-77120", {"payment_id": "77120", **_PAYABLE, "amount": 1250000}),
    ),
    *_from(
        "leasing",
        "/leasing",
        ("contract.signed", "contract-5530-v1", _LEASE),
        ("contract.ended", "contract-5530-end", {"contract_id": "5530"}),
    ),
    *_from(
        "identity",
        "/identity",
        ("user.updated", "user-T1-v4", {"user_id": _USER, "phone": "99112233", "locale": "en"}),
        ("user.deleted", "user-T1-deleted", {"user_id": _USER}),
    ),
    *_from(
        "any domain",
        "/facility",
        (
            "notification.requested",
            "announce-31",
            {
                "recipients": [_TENANT],
                "title": "Ус түр хаана",
                "body": "Маргааш 10:00–14:00 цагт засварын улмаас халуун ус хаана.",
                "link": "spacehub://announcements/31",
                "channels": ["inbox", "push"],
            },
        ),
        (
            "notification.requested.critical",
            "evacuate-7",
            {
                "recipients": [_TENANT],
                "title": "Галын дохио",
                "body": "А блокоос яаралтай гарна уу.",
                "channels": ["inbox", "push", "sms"],
                "critical": True,
                "owner_id": _OWNER,
            },
        ),
    ),
    *_from("owners", "/owners", ("sms_budget.set", "budget-7c2d-v2", {"owner_id": _OWNER, "monthly_segments": 5000})),
    *_from(
        "scheduler",
        "/scheduler",
        ("bill.overdue", "overdue-A1201-2026-11", {**_PAYABLE, "amount": 1250000, "due_date": "2026-12-05"}),
        ("contract.expiring", "expiring-5530-2027-11-27", _LEASE),
        ("devices.prune_due", "prune-2026-11-23", {"older_than_days": 60}),
        ("retention.due", "retention-2026-11-23", {"read_older_than_days": 90, "settled_older_than_days": 180}),
    ),
    *_from(
        "sms-sender",
        "/sms-sender",
        (
            "sms.sent",
            "sent-1",
            {
                **_SMS,
                "message_id": "8f2c",
                **_TRIED_ONCE,
                "duration_ms": 184,
                "history": [{**_ATTEMPT, "outcome": "sent", "duration_ms": 184}],
            },
        ),
        ("sms.failed", "failed-1", {**_SMS, "reason": "invalid_phone", **_SMS_UNTRIED}),
        ("sms.expired", "expired-1", {**_SMS, "reason": "expired", **_SMS_UNTRIED}),
        ("sms.blocked", "blocked-1", {**_SMS, "reason": "budget", **_SMS_UNTRIED}),
        (
            "sms.unknown",
            "unknown-1",
            {
                **_SMS,
                "reason": "timeout",
                **_TRIED_ONCE,
                "duration_ms": 10000,
                "history": [{**_ATTEMPT, "outcome": "unknown", "reason": "timeout", "duration_ms": 10000}],
            },
        ),
        (
            "sms_budget.threshold_reached",
            "threshold-1",
            {"owner_id": _OWNER, "month": "2026-11", "level": 80, "used": 4000, "limit": 5000},
        ),
    ),
    *_from(
        "push-sender",
        "/push-sender",
        ("push.sent", "push-sent-1", {**_PUSH, "sent": 2, "dead": 1}),
        ("push.failed", "push-failed-1", {**_PUSH, "sent": 0, "dead": 0, "reason": "no_devices"}),
        (
            "device.died",
            "died-1",
            {"token": "fXk2-Qp:APA91b-example", "user_id": _USER, "reason": "UNREGISTERED", "resolved_at": _TIME},
        ),
    ),
)
