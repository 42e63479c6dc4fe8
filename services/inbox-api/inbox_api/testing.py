"""For tests: events as other domains publish them, and the notifying half with a clock that the test sets."""

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
from pydantic import SecretStr
from spacehub import database
from spacehub.events import envelope, facts
from spacehub.events.envelope import Event
from spacehub.events.facts import Fact, Recipient
from spacehub.events.requests import SmsRequested

from inbox_api.checking import Patience, check
from inbox_api.checking_store import PostgresChecks
from inbox_api.drafts import Rules
from inbox_api.notifying import notify
from inbox_api.notifying_store import PostgresStore
from inbox_api.pruning import prune
from inbox_api.pruning_store import PostgresTables
from inbox_api.seals import Seal
from inbox_api.settling import settle
from inbox_api.settling_store import PostgresDeliveries

NOON = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)
"""Twelve o'clock in Ulaanbaatar."""

BAT = UUID("0b8f5f0e-6f1d-4c0a-9a53-2f0c7f9d1a01")
SARA = UUID("0b8f5f0e-6f1d-4c0a-9a53-2f0c7f9d1a02")
OWNER = UUID("7c2de0aa-0d2b-4b62-8d77-5a1b3e6f2b01")

TO_BAT = Recipient(user_id=BAT, phone="99112233")

SEAL = Seal(SecretStr("a seal for tests only"))
CHECK_AFTER = timedelta(minutes=10)

RULES = Rules(channels=frozenset({"inbox", "sms"}), quiet_hours=None, phone_key=SecretStr("a key for tests only"))


def event(data: Fact, *, at: datetime | None = None, id: str | None = None, source: str = "/tests") -> Event:
    """`data` as an event, with a fresh id unless one is given; `at` is the event's own time."""
    return Event(id=id or str(uuid4()), source=source, data=data, time=at)


def otp(phone: str = "99112233", code: str = "482913", **more: Any) -> facts.OtpRequested:
    return facts.OtpRequested(phone=phone, code=code, **more)


def bill(bill_id: str = "123", recipient: Recipient = TO_BAT, **more: Any) -> facts.BillIssued:
    told = {"owner_id": OWNER, "month": "2026-11", "amount": 1_250_000, "due_date": date(2026, 12, 5)}
    return facts.BillIssued(bill_id=bill_id, recipient=recipient, **{**told, **more})


def overdue(bill_id: str = "123", recipient: Recipient = TO_BAT, **more: Any) -> facts.BillOverdue:
    told = {"owner_id": OWNER, "amount": 98_500, "due_date": date(2026, 11, 22)}
    return facts.BillOverdue(bill_id=bill_id, recipient=recipient, **{**told, **more})


def payment(bill_id: str = "123", recipient: Recipient = TO_BAT, **more: Any) -> facts.PaymentConfirmed:
    told = {"payment_id": "77120", "owner_id": OWNER, "amount": 1_250_000}
    return facts.PaymentConfirmed(bill_id=bill_id, recipient=recipient, **{**told, **more})


def expiring(contract_id: str = "5530", recipient: Recipient = TO_BAT, **more: Any) -> facts.ContractExpiring:
    told = {"owner_id": OWNER, "property": "Зайсан Плаза", "unit": "1201", "ends_on": date(2026, 11, 27)}
    return facts.ContractExpiring(contract_id=contract_id, recipient=recipient, **{**told, **more})


def signed(contract_id: str = "5530", recipient: Recipient = TO_BAT, **more: Any) -> facts.ContractSigned:
    told = {"owner_id": OWNER, "property": "Зайсан Плаза", "unit": "1201", "ends_on": date(2027, 11, 27)}
    return facts.ContractSigned(contract_id=contract_id, recipient=recipient, **{**told, **more})


def announcement(*recipients: Recipient, **more: Any) -> facts.NotificationRequested:
    told = {"title": "Ус түр хаана", "body": "Маргааш 10:00–14:00 цагт халуун ус хаана.", "channels": {"inbox", "sms"}}
    told["channels"] = frozenset(more.pop("channels", told["channels"]))
    return facts.NotificationRequested(recipients=recipients or (TO_BAT,), **{**told, **more})


@dataclass
class Inbox:
    """inbox-api's notifying half on a database of its own."""

    pool: "asyncpg.Pool[asyncpg.Record]"
    now: datetime = NOON
    rules: Rules = RULES

    async def takes(self, *events: Event) -> None:
        """All of them in one batch."""
        store = PostgresStore(self.pool, seal=SEAL, look_after=CHECK_AFTER)
        await notify(events, store=store, rules=self.rules, clock=lambda: self.now)

    async def takes_each(self, *events: Event) -> None:
        """Each in a batch of its own, in this order."""
        for one in events:
            await self.takes(one)

    async def is_told(self, *outcomes: Event) -> None:
        """Outcomes of the senders, in one batch."""
        await settle(outcomes, store=PostgresDeliveries(self.pool), clock=lambda: self.now)

    async def checks(self, *, seal: Seal = SEAL, most: int = 500) -> dict[str, int]:
        """Look at what has no end now; how many there were of each finding."""
        patience = Patience(CHECK_AFTER, self.rules.quiet_hours)
        return await check(store=PostgresChecks(self.pool), seal=seal, patience=patience, now=self.now, most=most)

    async def prunes(self, due: Event, *, pages: int = 500) -> None:
        """Forget what is old enough, a stretch of so many pages at a time."""
        await prune(due, tables=PostgresTables(self.pool, pages=pages), clock=lambda: self.now)

    async def forwards(self) -> None:
        """Everything that waits leaves for the broker."""
        await self.rows("DELETE FROM outbox")

    def goes_by(self, **rules: Any) -> None:
        """Other rules from now on."""
        self.rules = replace(self.rules, **rules)

    def waits(self, time: timedelta) -> None:
        self.now += time

    async def rows(self, query: str, *arguments: Any) -> list[dict[str, Any]]:
        async with database.reading(self.pool) as connection:
            return [dict(row) for row in await connection.fetch(query, *arguments)]

    async def deliveries(self, event_id: str | None = None) -> list[tuple[str, str]]:
        """Channel and standing (`suppressed no_phone`) of each delivery of the event, or of all, in order."""
        rows = await self.rows(
            "SELECT channel, concat_ws(' ', status, reason) AS standing FROM deliveries"
            " WHERE $1::text IS NULL OR event_id = $1 ORDER BY channel, standing",
            event_id,
        )
        return [(row["channel"], row["standing"]) for row in rows]

    async def requests(self) -> list[Event]:
        """What waits in the outbox, read as a sender reads it, in the order written."""
        rows = await self.rows("SELECT body, content_type FROM outbox ORDER BY id")
        return [envelope.read(row["body"], content_type=row["content_type"], headers={}) for row in rows]

    async def sms(self) -> list[SmsRequested]:
        """The SMS that wait in the outbox, in the order written."""
        return [request.data for request in await self.requests() if isinstance(request.data, SmsRequested)]

    async def feed(self, user: UUID) -> list[dict[str, Any]]:
        """The user's inbox rows, oldest first."""
        return await self.rows("SELECT * FROM notifications WHERE user_id = $1 ORDER BY seq", user)
