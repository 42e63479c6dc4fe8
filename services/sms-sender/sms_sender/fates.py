"""How the attempt to hand one text to the carrier can end: taken, or one of these errors, told by what to do next."""

from dataclasses import dataclass
from datetime import timedelta

from spacehub.errors import NotNow, TemporaryFailure


@dataclass(frozen=True, slots=True)
class Accepted:
    """The carrier took the text and it is paid for. `message_id` is the carrier's own, when its reply names one."""

    message_id: str | None
    duration: timedelta


class Refused(Exception):
    """The carrier will never take this text to this number, and nothing is paid: record `failed` with `reason`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class NoAnswer(Exception):
    """The request was out and no readable reply came: the text may be paid for. Never a plain retry.

    Reasons: `timeout`, `connection_lost`, `unreadable_reply`, `status_NNN`.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class GatewayUnavailable(TemporaryFailure):
    """The text was definitely not taken (no connection, 500, 503): retry freely.

    Reasons: `connect_failed`, `connect_timeout`, `tls_failed`, `status_NNN`.
    """


class RateLimited(TemporaryFailure):
    """The carrier asked our account to slow down; not taken. `retry_in` is its Retry-After, when it gave one."""


class CredentialsRefused(TemporaryFailure):
    """The carrier does not know us or does not let us send; not taken. Our fault, not the message's: rest and alert."""


class CeilingReached(NotNow):
    """As many SMS as the ceiling allows went out in the last minute; nothing was tried. Look who sends so many."""
