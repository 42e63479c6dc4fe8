"""After a restore: what may have been sent without the ledger's knowing rests until a person says what became of it."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Protocol

from spacehub.errors import NotNow
from spacehub.events.requests import SmsRequested
from spacehub.segments import size_of

from sms_sender.attempts import OTP
from sms_sender.outcomes import RESTORED

ASK_AGAIN = timedelta(minutes=2)
"""How soon an SMS that is held is looked at again."""


class Restorations(Protocol):
    """The restores that count."""

    async def until(self) -> datetime | None: ...


class Ledger(Protocol):
    """Where what is held is kept."""

    async def hold(self, sms: SmsRequested, *, segments: int) -> bool: ...


def may_have_been_sent(sms: SmsRequested, until: datetime) -> bool:
    """Whether `sms` may be older than the restore: what says no time is; a code never counts, it is worth a second."""
    return sms.about != OTP and (sms.happened_at is None or sms.happened_at < until)


async def send_unless_in_doubt(
    sms: SmsRequested,
    *,
    restorations: Restorations,
    ledger: Ledger,
    send: Callable[[SmsRequested], Awaitable[None]],
) -> None:
    """Send `sms`, unless it may have been sent before a restore: then NotNow is raised for as long as it is held."""
    until = await restorations.until()
    doubtful = until is not None and may_have_been_sent(sms, until)
    if doubtful and await ledger.hold(sms, segments=size_of(sms.text).segments):
        raise NotNow(RESTORED, retry_in=ASK_AGAIN, not_after=sms.expires_at)
    await send(sms)
