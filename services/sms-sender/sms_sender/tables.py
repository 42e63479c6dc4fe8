"""The ledger's tables as they are now; the migrations are how they came to be."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, Column, DateTime, Index, LargeBinary, MetaData, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

METADATA = MetaData()

_TIME = DateTime(timezone=True)


class _Table(SQLModel):
    metadata = METADATA


class Sms(_Table, table=True):
    """One SMS: who asked for it, how far it came, and how it ended. Never its text, never its number.

    `claimed`: an attempt runs under a lease. `waiting`: no attempt runs, and the next one may start. The other
    statuses are ends. `attempts` counts those started; `ambiguous`, those whose outcome could not be known; `series`
    goes up when a redrive reopens an end. `claimed_by` is the token of the newest attempt, also after its end.
    `attempt_log` holds `{number, at, outcome, reason, duration_ms}` of each attempt that ended.
    """

    __tablename__ = "sms"
    __table_args__ = (
        CheckConstraint(
            "status IN ('claimed', 'waiting', 'sent', 'failed', 'expired', 'blocked', 'unknown')", name="sms_status"
        ),
        Index("sms_lease_ran_out", "lease_until", postgresql_where=text("status = 'claimed'")),
    )

    sms_id: UUID = Field(primary_key=True)
    source: str = Field(sa_type=Text)
    source_id: str = Field(sa_type=Text)
    about: str = Field(sa_type=Text)
    user_id: UUID | None
    owner_id: UUID | None
    subject: str | None = Field(sa_type=Text)
    critical: bool
    expires_at: datetime = Field(sa_type=_TIME)
    segments: int
    phone_hash: bytes = Field(sa_type=LargeBinary)
    phone_last4: str = Field(sa_type=Text)
    status: str = Field(sa_type=Text)
    reason: str | None = Field(sa_type=Text)
    message_id: str | None = Field(sa_type=Text)
    attempts: int
    ambiguous: int = Field(sa_column_kwargs={"server_default": text("0")})
    series: int = Field(sa_column_kwargs={"server_default": text("1")})
    lease_until: datetime | None = Field(sa_type=_TIME)
    claimed_by: UUID | None
    attempt_started_at: datetime | None = Field(sa_type=_TIME)
    duration_ms: int = Field(sa_column_kwargs={"server_default": text("0")})
    attempt_log: list[dict[str, Any]] = Field(sa_column=Column(JSONB, nullable=False, server_default=text("'[]'")))
    created_at: datetime = Field(sa_type=_TIME, sa_column_kwargs={"server_default": text("clock_timestamp()")})
    settled_at: datetime | None = Field(sa_type=_TIME)


class Closing(_Table, table=True):
    """What the newest fact says of a subject (`bill:123`, `user:…`): while it is `closed`, nothing of it is sent."""

    __tablename__ = "closings"

    subject: str = Field(sa_type=Text, primary_key=True)
    closed: bool
    decided_at: datetime = Field(sa_type=_TIME)
