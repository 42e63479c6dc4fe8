"""Three ways to FCM, side by side against the simulator: firebase-admin as it is, its transport exchanged, our own.

    .venv/bin/python -m bench.push_transport [--latency-ms 0] [--messages 2000]

The simulator runs in a process of its own; what one message costs the sender in CPU does not depend on it.
"""

import argparse
import asyncio
import json
import socket
import sys
import time
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import aiohttp
import firebase_admin
import google.auth.transport.requests
import httpx
import httpx_aiohttp
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from firebase_admin import credentials, messaging
from push_sender.access import Access
from push_sender.device import Device
from push_sender.fates import Reached
from push_sender.fcm import Fcm, connections, platform_breakers
from push_sender.message import Send, letter_of, message_of
from spacehub.breaker import Breaker
from spacehub.events.requests import PushRequested

CALL = 500
CONNECTIONS = 200
PUSH = PushRequested(
    source="/billing",
    source_id="bill-1",
    about="bill.issued",
    critical=False,
    expires_at=datetime.now(UTC) + timedelta(hours=1),
    user_id=UUID(int=1),
    push_id=UUID(int=2),
    notification_id=UUID(int=3),
    title="Төлбөр",
    body="11-р сарын төлбөр: ₮1,250,000. 2026-12-05-ийн дотор төлнө үү.",
    link="spacehub://bills/A1201-2026-11",
)

SendAll = Callable[[list[str]], Awaitable[None]]


@asynccontextmanager
async def simulator() -> AsyncIterator[str]:
    """The FCM simulator's URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    program = Path(sys.executable).with_name("spacehub-dev")
    process = await asyncio.create_subprocess_exec(str(program), "simulate", "fcm", "--port", str(port))
    url = f"http://127.0.0.1:{port}"
    try:
        async with httpx.AsyncClient(trust_env=False) as client:
            while True:
                try:
                    await client.get(f"{url}/readyz")
                    break
                except httpx.TransportError:
                    await asyncio.sleep(0.05)
        yield url
    finally:
        process.terminate()
        await process.wait()


def account(url: str) -> credentials.Certificate:
    """A service account that the simulator lets in."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    content = {
        "type": "service_account",
        "project_id": "spacehub",
        "private_key_id": "bench",
        "private_key": key.decode(),
        "client_email": "push@spacehub.iam.gserviceaccount.com",
        "token_uri": f"{url}/token",
    }
    return credentials.Certificate(content)


def library(app: firebase_admin.App) -> SendAll:
    """firebase-admin's own calls of 500."""

    async def send(tokens: list[str]) -> None:
        message = message_of(PUSH, now=datetime.now(UTC))
        parts = ("notification", "data", "android", "apns", "webpush")
        shared = {part: getattr(message, part) for part in parts}
        for start in range(0, len(tokens), CALL):
            batch = await messaging.send_each_for_multicast_async(
                messaging.MulticastMessage(tokens=tokens[start : start + CALL], **shared), app=app
            )
            assert batch.failure_count == 0, batch.responses[0].exception

    return send


class Bearer(httpx.Auth):
    """A token fetched once: the library's own flow costs more than the request."""

    def __init__(self, credential: credentials.Certificate) -> None:
        self._credential = credential.get_credential()
        self._credential.refresh(google.auth.transport.requests.Request())

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["Authorization"] = f"Bearer {self._credential.token}"
        yield request


@asynccontextmanager
async def exchanged(app: firebase_admin.App, credential: credentials.Certificate) -> AsyncIterator[SendAll]:
    """firebase-admin with httpx on aiohttp below it, without its retries; reaches into a private attribute."""

    def session() -> aiohttp.ClientSession:
        return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=CONNECTIONS))

    transport = httpx_aiohttp.AiohttpTransport(client=session)
    async with httpx.AsyncClient(transport=transport, auth=Bearer(credential), timeout=10) as client:
        messaging._get_messaging_service(app)._async_client._async_client = client
        yield library(app)


@asynccontextmanager
async def ours(url: str, credential: credentials.Certificate) -> AsyncIterator[SendAll]:
    """What push-sender does."""
    access = Access(credential)
    async with connections(timeout=timedelta(seconds=10)) as session:
        fcm = Fcm(
            f"{url}/v1/projects/spacehub/messages:send",
            session=session,
            access=access,
            lane=Breaker("bench"),
            platforms=platform_breakers(),
            connections=CONNECTIONS,
        )

        async def send(tokens: list[str]) -> None:
            letter = letter_of(PUSH, now=datetime.now(UTC))
            sends = [Send(letter, Device(token, "android")) for token in tokens]
            calls = [fcm.send_each(sends[start : start + CALL]) for start in range(0, len(sends), CALL)]
            assert all(fate == Reached() for fates in await asyncio.gather(*calls) for fate in fates)

        yield send
    access.close()


async def measured(name: str, send: SendAll, messages: int) -> float:
    """Messages a second, printed with the CPU that one costs."""
    await send([f"warm-{number}" for number in range(50)])
    tokens = [f"{name}-{number}-{'x' * 140}" for number in range(messages)]
    began, busy = time.perf_counter(), time.process_time()
    await send(tokens)
    rate = messages / (time.perf_counter() - began)
    cost = (time.process_time() - busy) / messages * 1e6
    print(f"{name:32} {rate:7.0f} messages/s {cost:7.0f} us of CPU a message", flush=True)
    return rate


async def main(latency_ms: int, messages: int) -> None:
    async with simulator() as url, httpx.AsyncClient(base_url=url, trust_env=False) as control:
        await control.put("/control/behaviour", content=json.dumps({"mode": "ok", "latency_ms": latency_ms}))
        credential = account(url)
        app = firebase_admin.initialize_app(credential, {"projectId": "spacehub", "httpTimeout": 60})
        messaging._get_messaging_service(app)._fcm_url = f"{url}/v1/projects/spacehub/messages:send"
        as_it_is = await measured("firebase-admin", library(app), messages // 2)
        async with exchanged(app, credential) as send:
            await measured("firebase-admin on httpx-aiohttp", send, messages)
        async with ours(url, credential) as send:
            rate = await measured("ours", send, messages)
        print(f"ours / firebase-admin: {rate / as_it_is:.1f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--latency-ms", type=int, default=0)
    parser.add_argument("--messages", type=int, default=2000)
    options = parser.parse_args()
    warnings.simplefilter("ignore", DeprecationWarning)
    asyncio.run(main(options.latency_ms, options.messages))
