"""The tables of inbox-api, described; the migrations make them, the store's SQL reads and writes them."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, DateTime, Index, MetaData, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlmodel import Field, SQLModel

STATUSES = ("pending", "sent", "failed", "expired", "blocked", "suppressed", "unknown")


class Table(SQLModel):
    """What the tables of this service share: a catalogue of their own."""

    metadata = MetaData()


def _moment(*, required: bool = True) -> Any:
    return Field(sa_type=DateTime(timezone=True), nullable=not required)


def _text(*, required: bool = True, key: bool = False) -> Any:
    return Field(sa_type=Text, nullable=not required, primary_key=key)


def _list() -> Any:
    return Field(sa_type=JSONB, nullable=False, sa_column_kwargs={"server_default": text("'[]'")})


def _one_of(column: str, *values: str) -> CheckConstraint:
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({listed})", name=f"known_{column}")


class Event(Table, table=True):
    """An event that was taken in: the guard against a second copy, and where the timeline of its deliveries starts.

    The id comes first in the key, because people look for an event by its id alone.
    """

    __tablename__ = "events"

    event_id: str = _text(key=True)
    source: str = _text(key=True)
    type: str = _text()
    occurred_at: datetime | None = _moment(required=False)
    received_at: datetime = _moment()
    traceparent: str | None = _text(required=False)


class Contact(Table, table=True):
    """How to reach a user, and what they wish: `phone_at` and `locale_at` are the times of the facts that said so."""

    __tablename__ = "contacts"
    __table_args__ = (_one_of("locale", "mn", "en"),)

    user_id: UUID = Field(primary_key=True)
    phone: str | None = _text(required=False)
    phone_at: datetime | None = _moment(required=False)
    locale: str | None = _text(required=False)
    locale_at: datetime | None = _moment(required=False)
    sms: bool = Field(sa_column_kwargs={"server_default": text("true")})
    push: bool = Field(sa_column_kwargs={"server_default": text("true")})


class Feed(Table, table=True):
    """A user's inbox as a whole: its row is locked by whoever writes into it, so numbers and count are always right."""

    __tablename__ = "feeds"

    user_id: UUID = Field(primary_key=True)
    last_seq: int = Field(sa_type=BigInteger)
    unread: int


class Notification(Table, table=True):
    """One row of a user's inbox; `seq` counts within the feed, its id is that of the inbox delivery."""

    __tablename__ = "notifications"
    __table_args__ = (UniqueConstraint("user_id", "seq", name="notifications_feed"),)

    id: UUID = Field(primary_key=True)
    user_id: UUID
    seq: int = Field(sa_type=BigInteger)
    type: str = _text()
    title: str = _text()
    body: str = _text()
    link: str | None = _text(required=False)
    created_at: datetime = _moment()
    read_at: datetime | None = _moment(required=False)


class Delivery(Table, table=True):
    """What became of one event for one user on one channel; ends exactly once, and says why.

    For its timeline: `attempt_log` is its sender's word, `handed_on_again` says when a look asked for it again, and
    `earlier_ends` what stood before a later word replaced it. Nothing in them is a number, a code or a text.
    """

    __tablename__ = "deliveries"
    __table_args__ = (
        _one_of("channel", "inbox", "push", "sms"),
        _one_of("status", *STATUSES),
        Index("deliveries_event", "event_id"),
        Index("deliveries_status", "status", "created_at", "id"),
        Index("deliveries_user", "user_id", "created_at", "id", postgresql_where=text("user_id IS NOT NULL")),
        Index("deliveries_phone", "phone_hash", "created_at", "id", postgresql_where=text("phone_hash IS NOT NULL")),
    )

    id: UUID = Field(primary_key=True)
    source: str = _text()
    event_id: str = _text()
    type: str = _text()
    channel: str = _text()
    user_id: UUID | None
    owner_id: UUID | None
    subject: str | None = _text(required=False)
    critical: bool
    locale: str = _text()
    phone_hash: bytes | None
    phone_last4: str | None = _text(required=False)
    status: str = _text()
    reason: str | None = _text(required=False)
    available_at: datetime | None = _moment(required=False)
    expires_at: datetime = _moment()
    message_id: str | None = _text(required=False)
    segments: int | None
    attempts: int | None
    duration_ms: int | None
    devices_reached: int | None
    devices_dead: int | None
    created_at: datetime = _moment()
    ended_at: datetime | None = _moment(required=False)
    attempt_log: list[Any] = _list()
    handed_on_again: list[datetime] = Field(
        sa_type=ARRAY(DateTime(timezone=True)),
        nullable=False,
        sa_column_kwargs={"server_default": text("'{}'")},
    )
    earlier_ends: list[Any] = _list()


class Unsettled(Table, table=True):
    """A delivery that was handed on and has no end yet, with its request under seal, to be asked for again."""

    __tablename__ = "unsettled"
    __table_args__ = (Index("unsettled_look", "look_at"),)

    delivery_id: UUID = Field(primary_key=True)
    sealed: bytes | None
    look_at: datetime = _moment()
    looked: int = Field(sa_column_kwargs={"server_default": text("0")})


class Closing(Table, table=True):
    """The newest fact about whether a subject (`bill:123`, `user:<uuid>`) is closed, and which event said so."""

    __tablename__ = "closings"

    subject: str = _text(key=True)
    closed: bool
    decided_at: datetime = _moment()
    source: str = _text()
    event_id: str = _text()
