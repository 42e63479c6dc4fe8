"""A device: where a user can be reached by push, and what is told of it to whom."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal
from uuid import UUID

Platform = Literal["ios", "android", "web"]

Kind = Literal["token", "fid"]
"""What FCM calls the address: a registration token, or the id of an installation, to which FCM is moving."""

LONGEST_TOKEN = 4096
LONGEST_LABEL = 255


@dataclass(frozen=True, slots=True)
class Registration:
    """What an app says when it is opened. Without `says_label` a label that is known stays."""

    token: str = field(repr=False)
    platform: Platform
    label: str | None = None
    says_label: bool = True


@dataclass(frozen=True, slots=True)
class Device:
    """One registration as its owner sees it."""

    id: UUID
    platform: Platform
    device_label: str | None
    last_seen_at: datetime
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Address:
    """Where a push for `user_id` goes."""

    user_id: UUID
    token: str = field(repr=False)
    platform: Platform
    kind: Kind


@dataclass(frozen=True, slots=True)
class Resolved:
    """The addresses of some users, and the database's time at which they were looked up."""

    resolved_at: datetime
    devices: Mapping[UUID, Sequence[Address]]
