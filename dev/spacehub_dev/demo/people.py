"""The people of the demo's story, their phones and browsers, and the app that registers them."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid4

import httpx
from spacehub.auth.signing import Signer


@dataclass(frozen=True, slots=True)
class Device:
    """A phone or browser with the app. One that is not `alive` had the app removed: FCM no longer knows its token."""

    platform: str
    token: str
    alive: bool = True


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody of the story: a fresh user id, a fresh number, fresh devices. One who `watches` has the app open."""

    user_id: str
    phone: str
    devices: tuple[Device, ...]
    watches: bool = False

    @property
    def address(self) -> str:
        """The number as the gateway gets it."""
        return f"976{self.phone}"

    def recipient(self, spelling: str, **more: str) -> dict[str, str]:
        """How an event names this person; `spelling` has a place for each half of the number."""
        return {"user_id": self.user_id, "phone": spelling.format(self.phone[:4], self.phone[4:]), **more}


def people() -> tuple[Person, Person, Person]:
    """Bat with two phones, the app open; Sarah with a browser; Dorj with a phone and one that lost the app."""
    return (
        _person("99", _device("bat", "ios"), _device("bat", "android"), watches=True),
        _person("88", _device("sarah", "web")),
        _person("95", _device("dorj", "android"), _device("dorj-old", "android", alive=False)),
    )


async def register(devices_of: Sequence[Person], endpoints: Mapping[str, Any], directory: Path) -> None:
    """What the app does when it is opened; the simulated FCM is told which tokens are dead."""
    async with httpx.AsyncClient(trust_env=False) as client:
        for person in devices_of:
            for device in person.devices:
                answer = await client.post(
                    f"{endpoints['api_url']}/v2/devices",
                    json={"token": device.token, "platform": device.platform},
                    headers=authorization(person, directory),
                )
                answer.raise_for_status()
                if not device.alive:
                    control = f"{endpoints['fcm_simulator_url']}/control/tokens/{quote(device.token, safe='')}"
                    (await client.put(control, json={"error": "UNREGISTERED"})).raise_for_status()


async def count_devices(person: Person, endpoints: Mapping[str, Any], directory: Path) -> int:
    """How many devices the app of `person` sees."""
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(f"{endpoints['api_url']}/v2/devices", headers=authorization(person, directory))
    return len(answer.raise_for_status().json())


def authorization(person: Person, directory: Path) -> dict[str, str]:
    """The header with which the app of `person` calls."""
    token = Signer.read(directory / "keys" / "signer.json").token(UUID(person.user_id))
    return {"Authorization": f"Bearer {token}"}


def _person(prefix: str, *devices: Device, watches: bool = False) -> Person:
    return Person(str(uuid4()), prefix + f"{random.randrange(10**6):06d}", devices, watches)


def _device(name: str, platform: str, *, alive: bool = True) -> Device:
    return Device(platform, f"{name}-{platform}:{uuid4().hex[:8]}", alive)
