"""Fakes of what a lane talks to, in memory, and requests to try them with."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from spacehub.errors import Away
from spacehub.events.envelope import Event
from spacehub.events.facts import DeviceDied, Fact
from spacehub.events.requests import PushRequested

from push_sender.device import Device, Platform, Resolved
from push_sender.fates import Fate, Reached
from push_sender.message import Send

BOLD = UUID("0b8f5f0e-6f1d-4c0a-9a53-2f0c7f9d1a01")
SARAA = UUID("0b8f5f0e-6f1d-4c0a-9a53-2f0c7f9d1a02")


def push_request(user_id: UUID = BOLD, **changes: Any) -> PushRequested:
    """A bill's push, good for an hour."""
    fields: dict[str, Any] = {
        "source": "/billing",
        "source_id": "bill-2026-11-A1201",
        "about": "bill.issued",
        "critical": False,
        "expires_at": datetime.now(UTC) + timedelta(hours=1),
        "user_id": user_id,
        "push_id": uuid4(),
        "notification_id": uuid4(),
        "title": "Төлбөр",
        "body": "11-р сарын төлбөр: ₮1,250,000. 2026-12-05-ийн дотор төлнө үү.",
        "link": "spacehub://bills/A1201-2026-11",
    }
    return PushRequested(**{**fields, **changes})


def event_of(push: PushRequested) -> Event:
    """The event in which inbox-api asks for `push`."""
    return Event(str(push.push_id), "/inbox-api", push)


def devices(count: int, platform: Platform = "android") -> list[Device]:
    """So many devices with tokens of their own."""
    return [Device(f"token-{uuid4().hex}", platform) for _ in range(count)]


class FakeDevices:
    """Devices by user; `away` makes the next so many calls fail."""

    def __init__(self) -> None:
        self.owned: defaultdict[UUID, list[Device]] = defaultdict(list)
        self.asked: list[list[UUID]] = []
        self.away = 0

    def hand_over(self, device: Device, *, to: UUID) -> None:
        """The token registers under another user."""
        for owned in self.owned.values():
            if device in owned:
                owned.remove(device)
        self.owned[to].append(device)

    async def resolve(self, users: Sequence[UUID]) -> Resolved:
        self.asked.append(list(users))
        if self.away:
            self.away -= 1
            raise Away("devices-api: ConnectError")
        return Resolved(datetime.now(UTC), {user: tuple(self.owned[user]) for user in users})


class FakeFcm:
    """Takes everything, but for the fates that are waiting for a token."""

    def __init__(self) -> None:
        self.calls: list[list[Send]] = []
        self.waiting: defaultdict[str, list[Fate]] = defaultdict(list)

    @property
    def tokens(self) -> list[str]:
        """Every token that was sent to, in order."""
        return [send.device.token for call in self.calls for send in call]

    def next_for(self, device: Device, *fates: Fate) -> None:
        """The next messages to `device` meet these fates, then FCM takes them again."""
        self.waiting[device.token] += fates

    async def send_each(self, sends: Sequence[Send]) -> list[Fate]:
        self.calls.append(list(sends))
        return [self._fate(send.device.token) for send in sends]

    def _fate(self, token: str) -> Fate:
        waiting = self.waiting[token]
        return waiting.pop(0) if waiting else Reached()


class FakeOutcomes:
    """What was told; `away` makes the next so many tellings fail."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.away = 0

    @property
    def ends(self) -> list[Fact]:
        """The outcomes of pushes, in order."""
        return [event.data for event in self.events if not isinstance(event.data, DeviceDied)]

    @property
    def deaths(self) -> list[DeviceDied]:
        """The deaths of devices, in order."""
        return [event.data for event in self.events if isinstance(event.data, DeviceDied)]

    async def tell(self, events: Sequence[Event]) -> None:
        if self.away:
            self.away -= 1
            raise Away("rabbitmq: spacehub.events did not take an outcome")
        self.events += events
