"""A consuming process for tests: `consumer.py URL QUEUE GATE DRAIN` handles an event when the file GATE appears."""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from spacehub import running
from spacehub.consuming.subscription import Subscription, tasks
from spacehub.events.envelope import Event
from spacehub.rabbit import Publisher
from spacehub.testing.waiting import eventually
from spacehub.topology import WorkQueue


async def main(url: str, queue: str, gate: str, drain: str) -> None:
    async def handle(events: Sequence[Event]) -> None:
        for event in events:
            sys.stdout.write(f"begun {event.id}\n")
            sys.stdout.flush()
            await eventually(Path(gate).exists, within=60)
            sys.stdout.write(f"done {event.id}\n")

    publisher = Publisher(url, name="consumer")
    subscription = Subscription(WorkQueue(queue, ()), handle, batch=5)
    await running.run(tasks([subscription], url=url, publisher=publisher), drain=float(drain))
    await publisher.close()


asyncio.run(main(*sys.argv[1:]))
