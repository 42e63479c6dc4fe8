"""The ledger's tables as they are now; the migrations are how they came to be."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Text,
    Uuid,
    text,
)
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
    `attempt_log` holds `{number, at, outcome, reason, duration_ms}` of each attempt that ended. `budget_month` is the
    month in which its segments are reserved for its owner; None when they are not, or no more. Of a deleted user's SMS
    `user_id` and both `phone_…` are erased once it has its end.
    """

    __tablename__ = "sms"
    __table_args__ = (
        CheckConstraint(
            "status IN ('claimed', 'waiting', 'sent', 'failed', 'expired', 'blocked', 'unknown')", name="sms_status"
        ),
        Index("sms_lease_ran_out", "lease_until", postgresql_where=text("status = 'claimed'")),
        Index("sms_person", "user_id", postgresql_where=text("user_id IS NOT NULL")),
        Index("sms_waiting_until", "expires_at", postgresql_where=text("status = 'waiting'")),
        Index("sms_in_doubt", "settled_at", postgresql_where=text("status = 'unknown'")),
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
    phone_hash: bytes | None = Field(sa_type=LargeBinary)
    phone_last4: str | None = Field(sa_type=Text)
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
    budget_month: date | None


class Closing(_Table, table=True):
    """What the newest fact says of a subject (`bill:123`, `user:…`): while it is `closed`, nothing of it is sent."""

    __tablename__ = "closings"

    subject: str = Field(sa_type=Text, primary_key=True)
    closed: bool
    decided_at: datetime = Field(sa_type=_TIME)
    recorded_at: datetime = Field(sa_type=_TIME, sa_column_kwargs={"server_default": text("clock_timestamp()")})


class LearnedFact(_Table, table=True):
    """A fact that has been taken in: a second copy of it changes nothing."""

    __tablename__ = "learned_facts"

    fact_id: UUID = Field(primary_key=True)
    learned_at: datetime = Field(sa_type=_TIME, sa_column_kwargs={"server_default": text("clock_timestamp()")})


class BudgetLimit(_Table, table=True):
    """How many segments an owner's month may cost; None: as many as it takes."""

    __tablename__ = "budget_limits"

    owner_id: UUID = Field(primary_key=True)
    monthly_segments: int | None
    set_at: datetime = Field(sa_type=_TIME)


class BudgetMonth(_Table, table=True):
    """What an owner's calendar month in Ulaanbaatar (by its first day) has used, and which levels were told."""

    __tablename__ = "budget_months"

    owner_id: UUID = Field(primary_key=True)
    month: date = Field(primary_key=True)
    used: int = Field(sa_type=BigInteger, sa_column_kwargs={"server_default": text("0")})
    told_80: bool = Field(sa_column_kwargs={"server_default": text("false")})
    told_100: bool = Field(sa_column_kwargs={"server_default": text("false")})


class CodeCount(_Table, table=True):
    """The codes that one phone got in the last 24 hours: never more than ten, each with its newest attempt's time."""

    __tablename__ = "code_counts"

    phone_hash: bytes = Field(sa_type=LargeBinary, primary_key=True)
    sms_ids: list[UUID] = Field(sa_column=Column(ARRAY(Uuid), nullable=False))
    counted_at: list[datetime] = Field(sa_column=Column(ARRAY(_TIME), nullable=False))


class LastMinute(_Table, table=True):
    """The one row in which all senders count what went out in the last minute: by second, and by lane."""

    __tablename__ = "last_minute"
    __table_args__ = (CheckConstraint("single", name="last_minute_single"),)

    single: bool = Field(primary_key=True, sa_column_kwargs={"server_default": text("true")})
    seconds: list[int] = Field(sa_column=Column(ARRAY(BigInteger), nullable=False, server_default=text("'{}'")))
    critical: list[int] = Field(sa_column=Column(ARRAY(Integer), nullable=False, server_default=text("'{}'")))
    standard: list[int] = Field(sa_column=Column(ARRAY(Integer), nullable=False, server_default=text("'{}'")))


class GatewayPace(_Table, table=True):
    """The one row that all senders take their permits from: no permit is given for a moment before `total`, and none
    of the standard lane before `standard`.
    """

    __tablename__ = "gateway_pace"
    __table_args__ = (CheckConstraint("single", name="gateway_pace_single"),)

    single: bool = Field(primary_key=True, sa_column_kwargs={"server_default": text("true")})
    total: datetime = Field(sa_type=_TIME, sa_column_kwargs={"server_default": text("to_timestamp(0)")})
    standard: datetime = Field(sa_type=_TIME, sa_column_kwargs={"server_default": text("to_timestamp(0)")})


class Restoration(_Table, table=True):
    """The database was restored: what happened before `until` may have been sent without this ledger's knowing.

    It holds until a person lifts it.
    """

    __tablename__ = "restorations"

    id: int = Field(sa_column=Column(BigInteger, Identity(always=True), primary_key=True))
    until: datetime = Field(sa_type=_TIME)
    by: str = Field(sa_type=Text)
    noted_at: datetime = Field(sa_type=_TIME, sa_column_kwargs={"server_default": text("clock_timestamp()")})
    lifted_at: datetime | None = Field(sa_type=_TIME)
    lifted_by: str | None = Field(sa_type=Text)


class AuditEntry(_Table, table=True):
    """What a person decided about an SMS, and why."""

    __tablename__ = "audit"

    id: int = Field(sa_column=Column(BigInteger, Identity(always=True), primary_key=True))
    at: datetime = Field(sa_type=_TIME, sa_column_kwargs={"server_default": text("clock_timestamp()")})
    by: str = Field(sa_type=Text)
    action: str = Field(sa_type=Text)
    sms_id: UUID
    reason: str = Field(sa_type=Text)
