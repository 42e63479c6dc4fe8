"""What an attempt to push leaves behind: events to tell, and what is still to be done."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import NAMESPACE_URL, uuid5

from spacehub.errors import NotNow, TemporaryFailure
from spacehub.events.envelope import Event
from spacehub.events.facts import DeviceDied, PushFailed, PushSent
from spacehub.events.requests import PushRequested

from push_sender.device import Device
from push_sender.fates import Dead, Fate, Passing, Reached, Refused, Untried

SOURCE = "/push-sender"
_NAMESPACE = uuid5(NAMESPACE_URL, "https://spacehub.mn/notify/push-sender")

NO_DEVICES = "no_devices"
EXPIRED = "expired"
RETRIES_EXHAUSTED = "retries_exhausted"


@dataclass(frozen=True, slots=True)
class Ending:
    """`told` is to be published. `again` says why and when to come back; then `left` is the request that comes back
    (None: the request as it was). Without `again` the push has ended and `told` holds its outcome.
    """

    told: tuple[Event, ...]
    again: TemporaryFailure | None = None
    left: PushRequested | None = None


def ended(request: Event, push: PushRequested, *, now: datetime, reason: str | None = None) -> Event:
    """The outcome: `push.sent` when a device was reached, else `push.failed`.

    Its id is derived, so that telling it twice is telling it once.
    """
    kind = PushSent if push.sent else PushFailed
    outcome = kind(push_id=push.push_id, source_id=push.source_id, user_id=push.user_id, sent=push.sent, dead=push.dead)
    if reason is not None:
        outcome = outcome.model_copy(update={"reason": reason})
    identity = uuid5(_NAMESPACE, f"{push.push_id} {kind.type}")
    return Event(str(identity), SOURCE, outcome, time=now, traceparent=request.traceparent)


def concluded(
    request: Event, push: PushRequested, fates: Sequence[tuple[Device, Fate]], *, resolved_at: datetime, now: datetime
) -> Ending:
    """What becomes of `push` after its devices met these fates. Only devices with a passing one are tried again."""
    dead = [(device, fate.reason) for device, fate in fates if isinstance(fate, Dead)]
    left = [(device, fate) for device, fate in fates if isinstance(fate, Passing | Untried)]
    reached = sum(isinstance(fate, Reached) for _, fate in fates)
    push = push.model_copy(update={"sent": push.sent + reached, "dead": push.dead + len(dead)})
    deaths = tuple(_died(request, push, device, reason, resolved_at=resolved_at, now=now) for device, reason in dead)
    if not left:
        refusals = [fate.reason for _, fate in fates if isinstance(fate, Refused)]
        reason = None if push.sent else next(iter(refusals), NO_DEVICES)
        return Ending((*deaths, ended(request, push, now=now, reason=reason)))
    again = _again([fate for _, fate in left], push)
    if len(left) == len(fates):
        return Ending(deaths, again)
    return Ending(deaths, again, push.model_copy(update={"only": tuple(device.digest for device, _ in left)}))


def _again(fates: Sequence[Passing | Untried], push: PushRequested) -> TemporaryFailure:
    """An attempt is used up as soon as one message was tried; the longest wait that was asked for is kept."""
    tried = [fate for fate in fates if isinstance(fate, Passing)]
    kind = TemporaryFailure if tried else NotNow
    waits = [fate.retry_in for fate in tried or fates if fate.retry_in is not None]
    reason = (tried or fates)[0].reason
    return kind(reason, retry_in=max(waits, default=None), not_after=push.expires_at)


def _died(
    request: Event, push: PushRequested, device: Device, reason: str, *, resolved_at: datetime, now: datetime
) -> Event:
    death = DeviceDied(token=device.token, user_id=push.user_id, reason=reason, resolved_at=resolved_at)
    identity = uuid5(_NAMESPACE, f"{device.digest} {resolved_at.isoformat()}")
    return Event(str(identity), SOURCE, death, time=now, traceparent=request.traceparent)


def exhausted(request: Event, push: PushRequested, *, now: datetime) -> Event:
    """The outcome of a push whose retries are used up."""
    return ended(request, push, now=now, reason=RETRIES_EXHAUSTED)
