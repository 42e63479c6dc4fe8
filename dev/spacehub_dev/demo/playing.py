"""Tells the story to a running system: publishes as another domain would, waits, and compares."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aio_pika
from spacehub.events.catalogue import BY_TYPE
from spacehub.events.publishers import domain_of

from spacehub_dev.demo import watching
from spacehub_dev.demo.comparing import compare, match
from spacehub_dev.demo.people import Person, count_devices, people, register
from spacehub_dev.demo.reading import App, apps
from spacehub_dev.demo.story import Scene, story
from spacehub_dev.demo.telling import tell
from spacehub_dev.demo.watching import Seen

PATIENCE = 60.0
"""Seconds until what has not arrived counts as missing."""

STILL = 1.0
"""Seconds to look on after the last arrival, for messages that should not come."""


async def play(endpoints: Mapping[str, Any], directory: Path) -> int:
    """Tell the story and print its table; 0 when everything arrived once and nothing else did, else 1."""
    cast = people()
    await register(cast, endpoints, directory)
    scenes = story(*cast)
    async with apps(cast, endpoints, directory) as signed_in:
        published = await _publish(endpoints["publishers"], scenes)
        seen = await _watch(endpoints, scenes, signed_in)
        results, surplus = compare(scenes, published, seen)
        forgotten = await _dead_are_forgotten(cast, endpoints, directory)
        unread = await signed_in[0].read_everything()
    return tell(results, surplus, forgotten=forgotten, unread=unread)


async def _publish(publishers: Mapping[str, str], scenes: Sequence[Scene]) -> list[datetime]:
    """Each event as the domain that may say it, with a confirm of its own; when it was published."""
    times = []
    async with AsyncExitStack() as stack:
        exchanges: dict[str, aio_pika.abc.AbstractExchange] = {}
        for scene in scenes:
            domain = _domain(scene)
            if domain not in exchanges:
                connection = await stack.enter_async_context(await aio_pika.connect(publishers[domain]))
                exchanges[domain] = await (await connection.channel()).get_exchange("spacehub.events")
            message = aio_pika.Message(
                json.dumps(scene.event, ensure_ascii=False).encode(),
                content_type="application/cloudevents+json",
                delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
                message_id=scene.event["id"],
            )
            times.append(datetime.now(UTC))
            await exchanges[domain].publish(message, routing_key=scene.event["type"].removeprefix("mn.spacehub."))
    return times


def _domain(scene: Scene) -> str:
    """Who says it: an event that nobody knows is a slip of billing's."""
    fact = BY_TYPE.get(scene.event["type"])
    return "billing" if fact is None else domain_of(fact)


async def _watch(endpoints: Mapping[str, Any], scenes: Sequence[Scene], signed_in: Sequence[App]) -> list[Seen]:
    """Everything that arrived, once all that was promised is there or patience has run out."""
    promised = [expected for scene in scenes for expected in scene.expected]
    queues = sorted({expected.to for expected in promised if expected.channel == "dead letter"})
    events = {scene.event["id"] for scene in scenes}
    cast = [app.person for app in signed_in]
    tokens = {device.token for person in cast for device in person.devices}
    loop = asyncio.get_running_loop()
    deadline = loop.time() + PATIENCE
    still_until = None
    while True:
        seen = await watching.texts(endpoints, to={person.address for person in cast})
        seen += await watching.pushes(endpoints, to=tokens)
        for app in signed_in:
            seen += [*await app.feed(), *app.live]
        for queue in queues:
            seen += await watching.dead_letters(endpoints, queue, events)
        if still_until is None and all(match(expected, seen) for expected in promised):
            still_until = loop.time() + STILL
        if loop.time() > (still_until or deadline):
            return seen
        await asyncio.sleep(0.2)


async def _dead_are_forgotten(cast: Sequence[Person], endpoints: Mapping[str, Any], directory: Path) -> bool:
    """Whether each app soon sees its living devices only."""
    for person in cast:
        alive = sum(device.alive for device in person.devices)
        for _ in range(100):
            if await count_devices(person, endpoints, directory) == alive:
                break
            await asyncio.sleep(0.1)
        else:
            return False
    return True
