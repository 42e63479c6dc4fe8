"""The FCM simulator, a service account that it lets in, and the broker with everything declared."""

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from spacehub.testing.broker import lay
from spacehub_dev.provisioning.fresh import drop_vhost, make_vhost
from spacehub_dev.provisioning.servers import RabbitServer
from spacehub_dev.simulators.fcm import fcm_simulator

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
)


@dataclass
class Simulator:
    """FCM as the tests see it."""

    url: str
    client: httpx.AsyncClient

    async def messages(self) -> list[dict[str, Any]]:
        """What it accepted, each as sent."""
        accepted = (await self.client.get("/control/messages")).json()["messages"]
        return [entry["message"] for entry in accepted]

    async def tokens(self) -> list[str]:
        """The addressees of what it accepted, in order."""
        return [message["token"] for message in await self.messages()]

    async def behave(self, mode: str, **how: Any) -> None:
        await self._put("/control/behaviour", {"mode": mode, **how})

    async def fault(self, tokens: Sequence[str], error: str | None, **how: Any) -> None:
        """What sending to `tokens` gets from now on."""
        for token in tokens:
            await self._put(f"/control/tokens/{token}", {"error": error, **how})

    async def _put(self, path: str, content: object) -> None:
        (await self.client.put(path, json=content)).raise_for_status()


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    """A fresh simulator."""
    runner = web.AppRunner(fcm_simulator(), handler_cancellation=True, shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    async with httpx.AsyncClient(base_url=site.name, trust_env=False) as client:
        yield Simulator(site.name, client)
    await runner.cleanup()


@pytest.fixture
def key_file(simulator: Simulator, tmp_path: Path) -> Path:
    """The key of a service account whose tokens come from the simulator."""
    return write_key(tmp_path / "service-account.json", token_uri=f"{simulator.url}/token")


def write_key(path: Path, *, token_uri: str) -> Path:
    """A key file as the Firebase console hands it out, but for where its access tokens come from."""
    content = {
        "type": "service_account",
        "project_id": "spacehub",
        "private_key_id": "test",
        "private_key": KEY.decode(),
        "client_email": "push@spacehub.iam.gserviceaccount.com",
        "token_uri": token_uri,
    }
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
async def broker(rabbitmq_server: RabbitServer) -> AsyncIterator[str]:
    """A virtual host with every queue, for all tests here."""
    vhost = await make_vhost(rabbitmq_server)
    await lay(vhost.amqp_url)
    yield vhost.amqp_url
    await drop_vhost(vhost)
