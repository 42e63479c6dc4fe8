"""A user's devices as devices-api knows them."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal
from uuid import UUID

Platform = Literal["ios", "android", "web"]
Kind = Literal["token", "fid"]
"""What FCM calls the address: a registration token, or the id of an installation, to which FCM is moving."""


@dataclass(frozen=True, slots=True)
class Device:
    """One registration with FCM. The token is a secret: whoever has it and our project's key can ring this device."""

    token: str = field(repr=False)
    platform: Platform
    kind: Kind = "token"

    @property
    def digest(self) -> str:
        """96 bits that tell this token from others and do not give it away."""
        return hashlib.sha256(self.token.encode()).hexdigest()[:24]


@dataclass(frozen=True, slots=True)
class Resolved:
    """Who had which devices `at` that moment, on the clock of devices-api."""

    at: datetime
    devices: Mapping[UUID, Sequence[Device]]

    def of(self, user: UUID) -> Sequence[Device]:
        """The devices of `user`; none for somebody unknown."""
        return self.devices.get(user, ())
