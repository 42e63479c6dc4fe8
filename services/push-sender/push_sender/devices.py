"""The client of devices-api: whose devices are whose, for many users in one call."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import UUID

import httpx
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, SecretStr, ValidationError
from spacehub.errors import Away

from push_sender.device import Device, Kind, Platform, Resolved

PATH = "/internal/devices/resolve"


class _Entry(BaseModel):
    token: str = Field(min_length=1, repr=False)
    platform: Platform
    kind: Kind = "token"


class _Answer(BaseModel):
    model_config = ConfigDict(hide_input_in_errors=True)

    resolved_at: AwareDatetime = Field(alias="resolvedAt")
    devices: Mapping[UUID, Sequence[_Entry]]


class DevicesApi:
    """Asks devices-api; made by `devices_api`."""

    def __init__(self, client: httpx.AsyncClient, secret: SecretStr) -> None:
        self._client = client
        self._secret = secret

    async def resolve(self, users: Sequence[UUID]) -> Resolved:
        """The devices of `users` as they are now.

        Raises Away for anything but a readable answer, a refused secret or a wrong address too: without the devices
        nothing can be sent, and pushes are better late than lost.
        """
        first, *_ = self._secret.get_secret_value().split()  # two while it is changed: the old one, the new one
        headers = {"Authorization": f"Bearer {first}"}
        try:
            response = await self._client.post(PATH, json={"userIds": [str(user) for user in users]}, headers=headers)
        except httpx.HTTPError as error:
            raise Away(f"devices-api: {type(error).__name__}") from None
        if response.status_code != httpx.codes.OK:
            raise Away(f"devices-api: status_{response.status_code}")
        try:
            answer = _Answer.model_validate_json(response.content)
        except ValidationError:
            raise Away("devices-api: unreadable answer") from None
        return Resolved(
            answer.resolved_at,
            {
                user: tuple(Device(entry.token, entry.platform, entry.kind) for entry in entries)
                for user, entries in answer.devices.items()
            },
        )


@asynccontextmanager
async def devices_api(url: str, *, secret: SecretStr, timeout: timedelta) -> AsyncIterator[DevicesApi]:
    """devices-api at `url`, with the secret that its internal calls ask for; `timeout` is for one call."""
    async with httpx.AsyncClient(
        base_url=url,
        timeout=timeout.total_seconds(),
        trust_env=False,
    ) as client:
        yield DevicesApi(client, secret)
