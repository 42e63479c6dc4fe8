"""The database of the notifying half: a few statements for a whole batch, rows in as arrays (`unnest`)."""

from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any
from uuid import UUID

import asyncpg
from spacehub import database, outbox
from spacehub.events.envelope import Event

from inbox_api import subject_rows
from inbox_api.closings import Closing
from inbox_api.contacts import Contact
from inbox_api.deliveries import Delivery, Notification, count_begun, count_ended
from inbox_api.plans import Plan
from inbox_api.request_rows import request_row
from inbox_api.seals import Seal
from inbox_api.unsettled import first_look, is_kept

_TAKE_IN = """
INSERT INTO events (event_id, source, type, occurred_at, received_at, traceparent)
SELECT event_id, source, type, occurred_at, $6, traceparent
FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::text[])
  AS new (event_id, source, type, occurred_at, traceparent)
ON CONFLICT DO NOTHING
RETURNING source, event_id"""

_CONTACTS = """
SELECT user_id, phone, phone_at, locale, locale_at, sms, push FROM contacts WHERE user_id = ANY($1::uuid[])"""

_HOLD_CONTACTS = """
INSERT INTO contacts (user_id) SELECT unnest($1::uuid[])
ON CONFLICT (user_id) DO UPDATE SET user_id = excluded.user_id
RETURNING user_id, phone, phone_at, locale, locale_at, sms, push"""

_UPDATE_CONTACTS = """
UPDATE contacts
SET phone = new.phone, phone_at = new.phone_at, locale = new.locale, locale_at = new.locale_at
FROM unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::text[], $5::timestamptz[])
  AS new (user_id, phone, phone_at, locale, locale_at)
WHERE contacts.user_id = new.user_id"""

_FORGET_CONTACTS = "DELETE FROM contacts WHERE user_id = ANY($1::uuid[])"

_DECIDE = """
INSERT INTO closings (subject, closed, decided_at, source, event_id)
SELECT * FROM unnest($1::text[], $2::boolean[], $3::timestamptz[], $4::text[], $5::text[])
ON CONFLICT (subject) DO UPDATE SET
  closed = excluded.closed, decided_at = excluded.decided_at, source = excluded.source, event_id = excluded.event_id"""

_SUPPRESS = """
WITH withdrawn AS (
  SELECT id FROM deliveries WHERE id = ANY($1::uuid[]) AND status = 'pending' ORDER BY id FOR UPDATE
), forgotten AS (
  DELETE FROM unsettled USING withdrawn WHERE delivery_id = withdrawn.id
)
UPDATE deliveries SET status = 'suppressed', reason = 'withdrawn', ended_at = $2
FROM withdrawn WHERE deliveries.id = withdrawn.id
RETURNING channel"""

_HOLD_DELIVERIES = """
SELECT FROM deliveries WHERE id = ANY($1::uuid[]) OR user_id = ANY($2::uuid[]) ORDER BY id FOR UPDATE"""

_ERASE_TRACES = """
WITH theirs AS (
  UPDATE deliveries SET phone_hash = NULL, phone_last4 = NULL WHERE user_id = ANY($1::uuid[]) RETURNING id
)
UPDATE unsettled SET sealed = NULL FROM theirs WHERE delivery_id = theirs.id"""

_ERASE_FEEDS = "DELETE FROM feeds WHERE user_id = ANY($1::uuid[])"

_ERASE_NOTIFICATIONS = "DELETE FROM notifications WHERE user_id = ANY($1::uuid[])"

_COUNT_UP = """
INSERT INTO feeds (user_id, last_seq, unread)
SELECT user_id, added, added FROM unnest($1::uuid[], $2::integer[]) AS new (user_id, added)
ON CONFLICT (user_id) DO UPDATE SET
  last_seq = feeds.last_seq + excluded.last_seq, unread = feeds.unread + excluded.unread
RETURNING user_id, last_seq"""

_NOTIFICATIONS = """
INSERT INTO notifications (seq, id, user_id, type, title, body, link, created_at)
SELECT * FROM unnest($1::bigint[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[],
                     $8::timestamptz[])"""

_notification = attrgetter("id", "user_id", "type", "title", "body", "link", "created_at")

_DELIVERIES = """
INSERT INTO deliveries
  (id, source, event_id, type, channel, user_id, owner_id, subject, critical, locale, phone_hash, phone_last4,
   status, reason, available_at, expires_at, created_at, ended_at)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::uuid[], $7::uuid[], $8::text[],
                     $9::boolean[], $10::text[], $11::bytea[], $12::text[], $13::text[], $14::text[],
                     $15::timestamptz[], $16::timestamptz[], $17::timestamptz[], $18::timestamptz[])"""

_UNSETTLED = """
INSERT INTO unsettled (delivery_id, sealed, look_at)
SELECT * FROM unnest($1::uuid[], $2::bytea[], $3::timestamptz[])"""

_delivery = attrgetter(
    *("id", "source", "event_id", "type", "channel", "user_id", "owner_id", "subject", "critical", "locale"),
    *("phone_hash", "phone_last4", "status", "reason", "available_at", "expires_at", "created_at", "ended_at"),
)


class PostgresStore:
    """Batches, each in a transaction of its own. Raises Away while the database cannot be reached.

    Requests are kept under `seal` until their end is known; the first look at one without an end is `look_after`.
    """

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]", *, seal: Seal, look_after: timedelta) -> None:
        self._pool = pool
        self._seal = seal
        self._look_after = look_after

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator["PostgresTransaction"]:
        async with database.transaction(self._pool) as connection:
            transaction = PostgresTransaction(connection, seal=self._seal, look_after=self._look_after)
            yield transaction
        count_begun(transaction.begun)
        count_ended(Counter({(channel, "suppressed", "withdrawn"): n for channel, n in transaction.withdrawn.items()}))


class PostgresTransaction:
    """The statements of one batch, in the order in which they lock."""

    def __init__(self, connection: Any, *, seal: Seal, look_after: timedelta) -> None:
        self._connection = connection
        self._seal = seal
        self._look_after = look_after
        self.begun: list[Delivery] = []
        """What was written."""
        self.withdrawn: Counter[str] = Counter()
        """Of what had been written before, by channel."""

    async def take_in(self, events: Sequence[Event], *, now: datetime) -> list[Event]:
        first: dict[tuple[str, str], Event] = {}
        for event in events:
            first.setdefault((event.id, event.source), event)
        ordered = [first[key] for key in sorted(first)]
        rows = await self._connection.fetch(
            _TAKE_IN,
            [event.id for event in ordered],
            [event.source for event in ordered],
            [event.data.type for event in ordered],
            [event.time for event in ordered],
            [event.traceparent for event in ordered],
            now,
        )
        new = {(row["event_id"], row["source"]) for row in rows}
        return [event for key, event in first.items() if key in new]

    async def lock(self, *, shared: AbstractSet[str], alone: AbstractSet[str]) -> None:
        await subject_rows.lock(self._connection, shared=shared, alone=alone)

    async def closings(self, subjects: AbstractSet[str]) -> dict[str, Closing]:
        return await subject_rows.closings(self._connection, subjects)

    async def contacts(self, users: AbstractSet[UUID], *, changing: AbstractSet[UUID]) -> dict[UUID, Contact]:
        rows = await self._connection.fetch(_HOLD_CONTACTS, sorted(changing)) if changing else []
        if others := users - changing:
            rows += await self._connection.fetch(_CONTACTS, list(others))
        return {user_id: Contact(*known) for user_id, *known in rows}

    async def write(self, plan: Plan, *, now: datetime) -> None:
        await self._write_contacts(plan)
        await self._write_closings(plan, now=now)
        await self._erase_feeds(plan.closed_users)
        await self._write_notifications(plan.notifications)
        if plan.deliveries:
            await self._connection.execute(_DELIVERIES, *_columns(map(_delivery, plan.deliveries.values())))
            self.begun = list(plan.deliveries.values())
        await self._write_requests([(plan.deliveries[number], request) for number, request in plan.requests.items()])

    async def _write_contacts(self, plan: Plan) -> None:
        if plan.contacts:
            rows = [
                (user, known.phone, known.phone_at, known.locale, known.locale_at)
                for user, known in plan.contacts.items()
            ]
            await self._connection.execute(_UPDATE_CONTACTS, *_columns(rows))
        if plan.closed_users:
            await self._connection.execute(_FORGET_CONTACTS, sorted(plan.closed_users))

    async def _write_closings(self, plan: Plan, *, now: datetime) -> None:
        if not plan.closings:
            return
        told = attrgetter("subject", "closed", "decided_at", "source", "event_id")
        await self._connection.execute(_DECIDE, *_columns(map(told, plan.closings.values())))
        if plan.closed_subjects or plan.closed_users:
            withdrawn = await outbox.withdraw(self._connection, subjects=plan.closed_subjects, users=plan.closed_users)
            numbers = [UUID(number) for number in withdrawn]
            if plan.closed_users:
                await self._connection.execute(_HOLD_DELIVERIES, numbers, sorted(plan.closed_users))
                await self._connection.execute(_ERASE_TRACES, sorted(plan.closed_users))
            if numbers:
                suppressed = await self._connection.fetch(_SUPPRESS, numbers, now)
                self.withdrawn.update(row["channel"] for row in suppressed)

    async def _erase_feeds(self, users: AbstractSet[UUID]) -> None:
        """Of users who are gone; the feed first, as by whoever reads in it."""
        if users:
            await self._connection.execute(_ERASE_FEEDS, sorted(users))
            await self._connection.execute(_ERASE_NOTIFICATIONS, sorted(users))

    async def _write_notifications(self, notifications: Sequence[Notification]) -> None:
        if not notifications:
            return
        added = Counter(notification.user_id for notification in notifications)
        users = sorted(added)
        rows = await self._connection.fetch(_COUNT_UP, users, [added[user] for user in users])
        last = {row["user_id"]: row["last_seq"] - added[row["user_id"]] for row in rows}
        numbered = []
        for notification in notifications:
            last[notification.user_id] += 1
            numbered.append((last[notification.user_id], *_notification(notification)))
        await self._connection.execute(_NOTIFICATIONS, *_columns(numbered))

    async def _write_requests(self, asked: Sequence[tuple[Delivery, Event]]) -> None:
        if not asked:
            return
        rows, kept = [], []
        for delivery, request in asked:
            row = request_row(
                request,
                critical=delivery.critical,
                available_at=delivery.available_at,
                subject=delivery.subject,
                user_id=delivery.user_id,
            )
            rows.append(row)
            sealed = self._seal.close(row.body, of=delivery.id) if is_kept(delivery) else None
            kept.append((delivery.id, sealed, first_look(delivery, after=self._look_after)))
        await self._connection.execute(_UNSETTLED, *_columns(kept))
        await outbox.write(self._connection, rows)


def _columns(rows: Iterable[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Rows turned into columns, one array each."""
    return list(zip(*rows, strict=True))
