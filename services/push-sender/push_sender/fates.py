"""What can become of one message to one device, told by what to do next."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Reached:
    """FCM took it."""


@dataclass(frozen=True, slots=True)
class Dead:
    """FCM no longer knows the token, or never will for us: report `device.died`."""

    reason: str


@dataclass(frozen=True, slots=True)
class Refused:
    """FCM will never take this message; the device is innocent and stays."""

    reason: str


@dataclass(frozen=True, slots=True)
class Passing:
    """It was tried and may work later. It may also have arrived: a repeat replaces itself on the device."""

    reason: str
    retry_in: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Untried:
    """Nothing was tried, or the fault was ours (credentials): no attempt is used up."""

    reason: str
    retry_in: timedelta | None = None


Fate = Reached | Dead | Refused | Passing | Untried
