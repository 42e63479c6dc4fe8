"""Push-sender's way to FCM against plain firebase-admin calls."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from uuid import UUID

import firebase_admin
from firebase_admin import credentials, messaging
from push_sender.access import Access
from push_sender.device import Device
from push_sender.fates import Reached
from push_sender.fcm import Fcm, connections, platform_breakers
from push_sender.message import Send, letter_of, message_of
from spacehub.breaker import Breaker
from spacehub.events.requests import PushRequested
from spacehub_dev.keys import service_account

from bench.ground import Ground
from bench.measuring import Findings, Goal, Meter, Sample, Way, in_turns, middle, ratio, spread

MESSAGES = 3_000
OF_THE_LIBRARY = 500
CALL = 500
CONNECTIONS = 200

PLAIN = "firebase-admin, `send_each_for_multicast_async`"
OURS = "push-sender"
_numbers = count()
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


async def measure(ground: Ground) -> Findings:
    """The library's own message each time, to a fake FCM that answers at once."""
    async with ground.sink(delay_ms=0) as sink:
        credential = credentials.Certificate(str(service_account(ground.directory, token_uri=f"{sink.url}/token")))
        app = firebase_admin.initialize_app(credential, {"projectId": "spacehub", "httpTimeout": 60})
        url = f"{sink.url}/v1/projects/spacehub/messages:send"
        messaging._get_messaging_service(app)._fcm_url = url
        async with ours(url, credential) as own:
            ways = {
                OURS: _way(own, MESSAGES),
                PLAIN: _way(library(app), OF_THE_LIBRARY),
            }
            for send in (own, library(app)):
                await send([f"warm-{number}" for number in range(50)])
            samples = await in_turns(ways)
    return Findings(
        goals=[Goal("push-sender / firebase-admin", ratio(samples[OURS], samples[PLAIN]), 3)],
        head=["way", "messages/s", "µs of CPU a message"],
        rows=[
            [name, spread(found), f"{middle(found, lambda one: one.cpu_each):,.0f}"] for name, found in samples.items()
        ],
        notes=[f"Calls of {CALL} messages, as many as FCM takes; to tokens of 150 characters."],
    )


def _way(send: SendAll, messages: int) -> Way:
    async def way() -> Sample:
        batch = next(_numbers)
        tokens = [f"{batch}-{number}-{'x' * 140}" for number in range(messages)]
        meter = Meter()
        await send(tokens)
        return meter.read(messages)

    return way


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


@asynccontextmanager
async def ours(url: str, credential: credentials.Certificate) -> AsyncIterator[SendAll]:
    """What push-sender does."""
    access = Access(lambda: credential)
    async with connections(timeout=timedelta(seconds=10)) as session:
        fcm = Fcm(
            url,
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
