"""The JSON that the calls take and give, in camelCase."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from devices_api.devices import LONGEST_LABEL, LONGEST_TOKEN, Kind, Platform

MOST_USERS = 1000
"""Users whose addresses one internal call resolves."""


def _storable(value: str) -> str:
    """PostgreSQL text holds neither U+0000 nor the halves of characters that JSON can escape."""
    try:
        if b"\x00" not in value.encode():
            return value
    except UnicodeEncodeError:
        pass
    raise ValueError("should not hold U+0000 or half a character")


_NO_NUL = {"pattern": r"^[^\u0000]*$"}

Token = Annotated[
    str, Field(min_length=1, max_length=LONGEST_TOKEN, json_schema_extra=_NO_NUL), AfterValidator(_storable)
]
Label = Annotated[str, Field(max_length=LONGEST_LABEL, json_schema_extra=_NO_NUL), AfterValidator(_storable)]


class RegistrationBody(BaseModel):
    """A device as its app describes it. Without `deviceLabel` a known label stays; null takes it away."""

    model_config = ConfigDict(alias_generator=to_camel, title="Registration")

    token: Annotated[Token, Field(repr=False, description="FCM's token")]
    platform: Platform
    device_label: Label | None = None


class DeviceBody(BaseModel):
    """A device of the caller."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, title="Device", from_attributes=True)

    id: UUID
    platform: Platform
    device_label: str | None
    last_seen_at: datetime
    created_at: datetime


class QuestionBody(BaseModel):
    """Whose addresses are wanted."""

    model_config = ConfigDict(alias_generator=to_camel, title="Question")

    user_ids: Annotated[list[UUID], Field(min_length=1, max_length=MOST_USERS)]


class AddressBody(BaseModel):
    """One address of a user."""

    model_config = ConfigDict(title="Address", from_attributes=True)

    token: Annotated[str, Field(repr=False)]
    platform: Platform
    kind: Kind


class AnswerBody(BaseModel):
    """The addresses by user, with none for a user who has none, and when they were looked up."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, title="Answer", from_attributes=True)

    resolved_at: datetime
    devices: dict[UUID, list[AddressBody]]
