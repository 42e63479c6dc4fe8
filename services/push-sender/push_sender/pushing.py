"""Bringing pushes to every device of their users: a batch at a time, devices looked up anew before each attempt."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Protocol, TypeVar
from uuid import UUID

from prometheus_client import Histogram
from spacehub.breaker import Breaker, State
from spacehub.errors import Away
from spacehub.events.envelope import Event
from spacehub.events.requests import PushRequested

from push_sender import endings
from push_sender.device import Device, Resolved
from push_sender.endings import Ending
from push_sender.fates import Fate, Reached
from push_sender.fuse import Fuse
from push_sender.message import Send, letter_of

CALL = 500
"""Messages in one call to FCM, at most."""

CALLS_AT_ONCE = 4
"""Of one batch; how many messages are on their way at once is the way to FCM's own limit."""

REMEMBERED = 10_000
"""Pushes whose end is kept in mind, so that a copy that comes soon after does not ring again. Not a promise: what is
forgotten rings twice and replaces itself."""

Key = TypeVar("Key")

_LATENCY = Histogram(
    "spacehub_push_event_to_fcm_seconds",
    "Time from when a push was due (its event's, unless it was put off) until FCM took it for a device",
    ["lane"],
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2, 3, 5, 10, 30, 60, 300, 1800, 7200),
)


class Devices(Protocol):
    """Who has which devices now. Raises Away when that can't be known."""

    async def resolve(self, users: Sequence[UUID]) -> Resolved: ...


class Fcm(Protocol):
    """Firebase Cloud Messaging: up to 500 messages a call, a fate for each, in order."""

    async def send_each(self, sends: Sequence[Send]) -> list[Fate]: ...


class Outcomes(Protocol):
    """Tells everybody what happened. Raises Away unless all of it is safe with the broker."""

    async def tell(self, events: Sequence[Event]) -> None: ...


class Pushing:
    """One lane. It remembers what it has sent but could not tell yet: then only the telling is tried again."""

    def __init__(
        self,
        *,
        devices: Devices,
        fcm: Fcm,
        outcomes: Outcomes,
        lane: Breaker,
        fuse: Fuse,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._devices = devices
        self._fcm = fcm
        self._outcomes = outcomes
        self._lane = lane
        self._fuse = fuse
        self._clock = clock
        self._untold: OrderedDict[PushRequested, Ending] = OrderedDict()
        self._ended: OrderedDict[UUID, Ending] = OrderedDict()

    async def push(self, requests: Mapping[PushRequested, Event]) -> dict[PushRequested, Ending]:
        """Attempt all of `requests` together and tell what came of it; then the ending of each.

        Raises Away when nothing was tried (the lane rests, or devices-api can't be reached), or when the endings could
        not be told: asked again for the same pushes, it tells them and sends nothing.
        """
        known = {push: ending for push in requests if (ending := self._known(push)) is not None}
        fresh = {push: request for push, request in requests.items() if push not in known}
        for push, ending in (await self._attempt(fresh)).items():
            _remember(self._untold, push, ending)
            known[push] = ending
        await self._outcomes.tell([event for ending in known.values() for event in ending.told])
        for push, ending in known.items():
            self._untold.pop(push, None)
            if ending.again is None:
                _remember(self._ended, push.push_id, Ending(ending.told[-1:]))
        return known

    async def give_up(self, push: PushRequested, request: Event) -> None:
        """Tell that the retries of `push` are used up. Raises Away."""
        await self._outcomes.tell([endings.exhausted(request, push, now=self._clock())])

    def _known(self, push: PushRequested) -> Ending | None:
        return self._untold.get(push) or self._ended.get(push.push_id)

    async def _attempt(self, requests: Mapping[PushRequested, Event]) -> dict[PushRequested, Ending]:
        now = self._clock()
        alive = [push for push in requests if push.expires_at > now]
        done = {
            push: Ending((endings.ended(request, push, now=now, reason=endings.EXPIRED),))
            for push, request in requests.items()
            if push.expires_at <= now
        }
        if not alive:
            return done
        if self._lane.rests:
            raise Away(f"fcm: {self._lane.reason}")
        resolved = await self._devices.resolve(sorted({push.user_id for push in alive}))
        devices = {push: _targets(push, resolved) for push in alive}
        letters = {push: letter_of(push, now=now) for push in alive}
        sends = [Send(letters[push], device, requests[push].traceparent) for push in alive for device in devices[push]]
        fates = iter(self._fuse.judged(await self._send(sends)))
        for push in alive:
            met = [(device, next(fates)) for device in devices[push]]
            if push.due_at is not None and any(isinstance(fate, Reached) for _, fate in met):
                waited = (self._clock() - push.due_at).total_seconds()
                _LATENCY.labels("critical" if push.critical else "standard").observe(max(0.0, waited))
            done[push] = endings.concluded(requests[push], push, met, resolved_at=resolved.at, now=now)
        return done

    async def _send(self, sends: Sequence[Send]) -> list[Fate]:
        """Send all, after a rest of the lane one of them first, to see whether FCM answers again."""
        fates: list[Fate] = []
        while self._lane.state is State.PROBE_DUE and len(fates) < len(sends):
            fates += await self._fcm.send_each([sends[len(fates)]])
        others = sends[len(fates) :]
        free = asyncio.Semaphore(CALLS_AT_ONCE)

        async def call(start: int) -> list[Fate]:
            async with free:
                return await self._fcm.send_each(others[start : start + CALL])

        for answered in await asyncio.gather(*map(call, range(0, len(others), CALL))):
            fates += answered
        return fates


def _targets(push: PushRequested, resolved: Resolved) -> list[Device]:
    """The devices that are the user's now and still to be reached."""
    return [device for device in resolved.of(push.user_id) if push.only is None or device.digest in push.only]


def _remember(store: OrderedDict[Key, Ending], key: Key, ending: Ending) -> None:
    store[key] = ending
    if len(store) > REMEMBERED:
        store.popitem(last=False)
