"""Which device belongs to whom: a token is one user's, the one who registered it last."""

from collections.abc import Iterable
from datetime import datetime
from typing import Protocol
from uuid import UUID, uuid4

from prometheus_client import Counter

from devices_api.devices import Address, Device, Registration, Resolved

_REGISTERED = Counter("spacehub_devices_registered", "Registrations of devices", ["outcome"])


class Registry(Protocol):
    """The devices that are known."""

    async def put(self, registration: Registration, *, user_id: UUID, new_id: UUID) -> Device:
        """Make the token `user_id`'s and seen now; only one that was not theirs before gets `new_id`."""
        ...

    async def devices_of(self, user_id: UUID) -> list[Device]:
        """The devices of a user, in the order in which they came."""
        ...

    async def remove(self, token: str, *, user_id: UUID) -> None:
        """Forget the token if it is `user_id`'s."""
        ...

    async def addresses_of(self, user_ids: Iterable[UUID]) -> tuple[datetime, list[Address]]:
        """The addresses of these users, and the database's time before it looked."""
        ...


async def register(registration: Registration, *, user_id: UUID, registry: Registry) -> tuple[Device, bool]:
    """The device as it is now registered to `user_id`, and whether that is new.

    A token of another user moves: to its new user it is a new device, with an id, a time and a label of its own,
    and nothing is left of it with the old one.
    """
    new_id = uuid4()
    device = await registry.put(registration, user_id=user_id, new_id=new_id)
    is_new = device.id == new_id
    _REGISTERED.labels("new" if is_new else "seen").inc()
    return device, is_new


async def resolve(user_ids: Iterable[UUID], *, registry: Registry) -> Resolved:
    """Where these users can be reached at this moment; a user without devices is there with none."""
    wanted = dict.fromkeys(user_ids)
    at, addresses = await registry.addresses_of(wanted)
    devices: dict[UUID, list[Address]] = {user_id: [] for user_id in wanted}
    for address in addresses:
        devices[address.user_id].append(address)
    return Resolved(at, devices)
