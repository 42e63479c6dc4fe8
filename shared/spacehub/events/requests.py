"""What inbox-api asks the senders for, on `spacehub.deliveries`: to send a delivery, or to tell its end once more."""

from typing import Annotated, ClassVar
from uuid import UUID

from pydantic import Field

from spacehub.events.facts import Fact
from spacehub.events.values import Moment


def _to_the_sender(channel: str) -> tuple[str, ...]:
    return f"{channel}.critical", f"{channel}.standard"


def _of_lane(keys: tuple[str, ...], *, critical: bool) -> str:
    return keys[0] if critical else keys[1]


class _DeliveryRequested(Fact):
    """Shared by both senders: whom it is for, what caused it, and until when it makes sense.

    The envelope's id is the delivery's id. `subject` is what it speaks of (`bill:123`); when that is closed before the
    request is sent, it is withdrawn. `source` and `source_id` name the event that caused it, `about` is its short type.
    `due_at` is when it was to go out: at the event's time, unless quiet hours put it off.
    """

    source: str
    source_id: str
    about: str
    critical: bool
    expires_at: Moment
    user_id: UUID | None = None
    owner_id: UUID | None = None
    subject: str | None = None
    due_at: Moment | None = None

    @property
    def routing_key(self) -> str:
        return _of_lane(self.routing_keys(), critical=self.critical)

    @classmethod
    def routing_keys(cls) -> tuple[str, ...]:
        return _to_the_sender(cls.type.removesuffix(".requested"))


class SmsRequested(_DeliveryRequested):
    """One text to one number; the number is as the event or the contact data wrote it.

    `happened_at` is the time of the event that caused it, where that stays the same when the event is said again.
    """

    type: ClassVar[str] = "sms.requested"
    sms_id: UUID
    phone: Annotated[str, Field(repr=False)]
    text: Annotated[str, Field(repr=False)]
    happened_at: Moment | None = None


class SmsEndAsked(Fact):
    """How did the SMS `sms_id` end? Its end, if it has one, is told once more under the same id; else nothing is.

    Asked in place of a request that was never kept, because its text is a secret.
    """

    type: ClassVar[str] = "sms.end_asked"
    sms_id: UUID
    critical: bool

    @property
    def routing_key(self) -> str:
        return _of_lane(self.routing_keys(), critical=self.critical)

    @classmethod
    def routing_keys(cls) -> tuple[str, ...]:
        return _to_the_sender("sms")


class PushRequested(_DeliveryRequested):
    """One notification to all devices of one user.

    What comes back from a retry tier says what earlier attempts settled: `only` holds digests of the tokens that are
    still to be reached (None: all of the user's), `sent` and `dead` count the devices before.
    """

    type: ClassVar[str] = "push.requested"
    push_id: UUID
    user_id: UUID
    notification_id: UUID
    title: Annotated[str, Field(repr=False)]
    body: Annotated[str, Field(repr=False)]
    link: str | None = None
    only: tuple[str, ...] | None = None
    sent: int = 0
    dead: int = 0
