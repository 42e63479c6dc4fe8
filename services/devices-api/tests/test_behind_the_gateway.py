"""The way of the app: through the real gateway to the API, with tokens as long and as odd as they may be."""

import os
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI
from spacehub.http_api import LONGEST_HEAD
from spacehub.testing.serving import served
from spacehub.testing.waiting import eventually
from spacehub_dev.provisioning.haproxy import GatewaySettings, find_gateway
from spacehub_dev.provisioning.ports import listening, release_port, reserve_port
from spacehub_dev.provisioning.program import Program

from .conftest import ISSUING
from .test_calls import CURIOUS

LONG = {name: (letter * 4096)[:4096] for name, letter in (("ASCII", "aB:9-_"), ("slashes", "/"), ("Mongolian", "ᠮ"))}


@pytest.fixture
async def app(api: FastAPI, user: UUID, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """The app of `user`, which knows the gateway's address only."""
    ports = [reserve_port() for _ in range(4)]
    settings = GatewaySettings(ports[0], ports[1], devices_api_port=ports[2], inbox_api_port=ports[3])
    environment = {"PATH": os.environ["PATH"], **settings.environment}
    command = find_gateway(tmp_path, report=print)
    gateway = Program("gateway", command, tmp_path, tmp_path / "gateway.log", environment)
    async with served(api, port=ports[2], longest_head=LONGEST_HEAD):
        gateway.start()
        await eventually(lambda: listening(ports[0]), within=60)
        headers = {"Authorization": f"Bearer {ISSUING.token(user)}"}
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{ports[0]}", headers=headers, trust_env=False) as app:
            yield app
        gateway.stop()
    for port in ports:
        release_port(port)


async def test_tokens_come_and_go_through_the_gateway_whatever_they_hold(app: httpx.AsyncClient) -> None:
    for token in [*CURIOUS.values(), *LONG.values()]:
        registered = await app.post("/v2/devices", json={"token": token, "platform": "web"})
        gone = await app.delete(f"/v2/devices/{quote(token, safe='').replace('.', '%2E')}")
        left = await app.get("/v2/devices")

        assert (registered.status_code, gone.status_code, left.json()) == (201, 204, [])


async def test_the_internal_call_cannot_be_reached_from_outside(app: httpx.AsyncClient, user: UUID) -> None:
    body = {"userIds": [str(user)]}
    paths = [
        "/internal/devices/resolve",
        "//internal/devices/resolve",
        "/v2/devices/%2e%2e/%2e%2e/internal/devices/resolve",
    ]

    statuses = [(await app.post(path, json=body)).status_code for path in paths]

    assert statuses == [404, 404, 405]
