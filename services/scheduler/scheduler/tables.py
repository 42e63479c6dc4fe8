"""The tables of the scheduler, described; the migrations make them, the timetable's SQL reads and writes them."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, Column, Date, DateTime, Index, MetaData, Text, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlmodel import Field, SQLModel

METADATA = MetaData()

_TIME = DateTime(timezone=True)


class _Table(SQLModel):
    metadata = METADATA


class Timer(_Table, table=True):
    """What is known of one subject, and, while it is armed, what it fires and when. See `timers.Timer`.

    Rows stay: a bill that was paid must be known for as long as somebody may issue it again. Only an armed row knows
    a user, and only armed rows are in the index of what is due.
    """

    __tablename__ = "timers"
    __table_args__ = (
        CheckConstraint(
            "(state = 'armed') = (due_at IS NOT NULL AND deadline IS NOT NULL AND user_id IS NOT NULL"
            " AND data IS NOT NULL) AND (state = 'armed' OR coalesce(due_at::text, lapses_at::text, deadline::text,"
            " user_id::text, data::text) IS NULL)",
            name="armed_or_erased",
        ),
        Index("timers_due", "due_at", "subject", postgresql_where=text("state = 'armed'")),
        Index("timers_user", "user_id", postgresql_where=text("user_id IS NOT NULL")),
    )

    subject: str = Field(sa_type=Text, primary_key=True)
    purpose: str = Field(sa_type=Text, primary_key=True)
    state: str = Field(sa_type=Text)
    as_of: datetime | None = Field(sa_type=_TIME)
    due_at: datetime | None = Field(sa_type=_TIME)
    lapses_at: datetime | None = Field(sa_type=_TIME)
    deadline: date | None
    user_id: UUID | None
    data: dict[str, Any] | None = Field(sa_type=JSONB)
    told: list[date] = Field(sa_column=Column(ARRAY(Date), nullable=False, server_default=text("'{}'")))


class LearnedFact(_Table, table=True):
    """A fact that was taken in, by the id derived from its source and id: the guard against a second copy."""

    __tablename__ = "learned_facts"
    __table_args__ = (Index("learned_facts_age", "learned_at", postgresql_using="brin"),)

    fact_id: UUID = Field(primary_key=True)
    learned_at: datetime = Field(sa_type=_TIME)


class DeletedUser(_Table, table=True):
    """A user for whom nothing is armed any more."""

    __tablename__ = "deleted_users"

    user_id: UUID = Field(primary_key=True)
    deleted_at: datetime = Field(sa_type=_TIME)


class Slot(_Table, table=True):
    """A cron slot that is over: fired, or (without `fired_at`) already past when the scheduler first started."""

    __tablename__ = "slots"

    purpose: str = Field(sa_type=Text, primary_key=True)
    slot_at: datetime = Field(sa_type=_TIME, primary_key=True)
    fired_at: datetime | None = Field(sa_type=_TIME)


class ReleaseGate(_Table, table=True):
    """The one row that meters how fast timers fire, over all schedulers: none before `opens_at`."""

    __tablename__ = "release_gate"
    __table_args__ = (CheckConstraint("the_one", name="only_one"),)

    the_one: bool = Field(primary_key=True, sa_column_kwargs={"server_default": text("true")})
    opens_at: datetime = Field(sa_type=_TIME)
