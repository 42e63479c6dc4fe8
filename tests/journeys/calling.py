"""An outsider's HTTP calls: as a user's app, as somebody of operations, and to the simulators' control."""

import asyncio
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
from spacehub.auth.signing import Signer
from spacehub_dev.launcher.system import System

from tests.journeys.outsider import Outsider

BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Caller:
    """Somebody with a token."""

    outsider: Outsider
    headers: Mapping[str, str]

    @staticmethod
    def of(system: System, outsider: Outsider, user: str, *scopes: str) -> "Caller":
        signer = Signer.read(system.directory / "keys" / "signer.json")
        return Caller(outsider, {"Authorization": f"Bearer {signer.token(UUID(user), scopes=scopes)}"})

    @staticmethod
    def of_operations(system: System, outsider: Outsider) -> "Caller":
        return Caller.of(system, outsider, str(uuid4()), "openid", "ops")

    async def call(self, method: str, path: str, **more: Any) -> httpx.Response:
        url = f"{self.outsider.endpoints['api_url']}{path}"
        return await self.outsider.http.request(method, url, headers=dict(self.headers), timeout=30, **more)

    async def deliveries(self, **asked: Any) -> list[dict[str, Any]]:
        """All that is found, page by page."""
        items: list[dict[str, Any]] = []
        cursor: str | None = ""
        while cursor is not None:
            answer = await self.call("GET", "/v2/ops/deliveries", params={**asked, "cursor": cursor, "limit": 100})
            assert answer.status_code == 200, answer.text
            items += answer.json()["items"]
            cursor = answer.json()["nextCursor"]
        return items


async def behave(outsider: Outsider, simulator: str, mode: str, *, count: int | None = None) -> None:
    """Let a simulator (`sms` or `fcm`) behave so, for so many requests."""
    url = f"{outsider.endpoints[f'{simulator}_simulator_url']}/control/behaviour"
    answer = await outsider.http.put(url, json={"mode": mode, "latency_ms": 0, "retry_after": None, "count": count})
    assert answer.is_success, answer.text


async def command(system: System, *words: str) -> str:
    """What a command of ours prints where the system runs, with no settings but its directory; it must succeed."""
    program, *arguments = words
    process = await asyncio.create_subprocess_exec(
        str(BIN / program),
        *arguments,
        cwd=_seen_from(system),
        env={"PATH": os.environ["PATH"]},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    assert process.returncode == 0, out.decode()
    return out.decode()


def _seen_from(system: System) -> Path:
    """A directory in which the system's own is called `.run`, as it is for a developer."""
    place = system.directory.parent / f"{system.directory.name}-seen"
    place.mkdir(exist_ok=True)
    link = place / ".run"
    if not link.is_symlink():
        link.symlink_to(system.directory)
    return place
