"""A forwarding process for tests: `forwarder.py DATABASE_URL AMQP_URL` hangs after its first publication's confirms."""

import asyncio
import sys
from collections.abc import Sequence

from spacehub import running
from spacehub.confirming import Confirm, Outgoing
from spacehub.forwarder import forwarding
from spacehub.rabbit import Publisher


class HangsAfterPublishing:
    """Never comes to the answer, so that what was published is not deleted."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher

    async def publish(self, messages: Sequence[Outgoing], *, within: float = 5.0) -> list[Confirm]:
        confirms = await self._publisher.publish(messages, within=60)
        sys.stdout.write(f"confirmed {confirms.count(Confirm.ACKED)}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()
        return confirms


async def main(database_url: str, amqp_url: str) -> None:
    publisher = HangsAfterPublishing(Publisher(amqp_url, name="forwarder"))
    await running.run({"forward": forwarding("standard", database_url=database_url, publisher=publisher)})


asyncio.run(main(*sys.argv[1:]))
