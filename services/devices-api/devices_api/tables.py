"""The service's table as it is now; the migrations are how it came to be."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    Column,
    Computed,
    DateTime,
    Index,
    LargeBinary,
    MetaData,
    Text,
    UniqueConstraint,
    text,
)
from sqlmodel import Field, SQLModel

METADATA = MetaData()

_TIME = DateTime(timezone=True)

_DIGEST = r"sha256(replace(token, '\', '\\')::bytea)"


class FcmToken(SQLModel, table=True):
    """One device of one user. `token` is FCM's address, of either `kind`, and unique; the users live elsewhere.

    `token_hash` stands for the token in the index, whose entries end at 2,700 bytes.
    """

    metadata = METADATA
    __tablename__ = "fcm_tokens"
    __table_args__ = (
        CheckConstraint("kind IN ('token', 'fid')", name="known_kind"),
        CheckConstraint("platform IN ('ios', 'android', 'web')", name="known_platform"),
        UniqueConstraint("token_hash", name="fcm_tokens_token"),
        Index("fcm_tokens_user", "user_id"),
    )

    id: UUID = Field(primary_key=True, sa_column_kwargs={"server_default": text("gen_random_uuid()")})
    user_id: UUID
    token: str = Field(sa_type=Text)
    kind: str = Field(sa_type=Text, sa_column_kwargs={"server_default": text("'token'")})
    platform: str = Field(sa_type=Text)
    device_label: str | None = Field(sa_type=Text)
    created_at: datetime = Field(sa_type=_TIME, sa_column_kwargs={"server_default": text("now()")})
    last_seen_at: datetime = Field(sa_type=_TIME, sa_column_kwargs={"server_default": text("now()")})
    token_hash: bytes = Field(sa_column=Column(LargeBinary, Computed(_DIGEST, persisted=True), nullable=False))
