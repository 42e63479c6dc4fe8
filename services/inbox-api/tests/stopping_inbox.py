"""A consumer of inbox-api that stands still at one point for ever, to be killed there: `stopping_inbox.py POINT`.

The points: `written` (nothing committed yet), `committed` (no ack yet).
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any

import structlog
from inbox_api.drafts import Rules
from inbox_api.notifying import notify
from inbox_api.notifying_store import PostgresStore, PostgresTransaction
from inbox_api.seals import Seal
from inbox_api.settings import Settings
from spacehub import database, running
from spacehub.consuming.subscription import Subscription, consuming
from spacehub.rabbit import Publisher
from spacehub.telemetry import configure_logs
from spacehub.topology import BY_NAME


class StoppingStore(PostgresStore):
    """A store that stands still before it commits a batch, or after that."""

    def __init__(self, pool: Any, settings: Settings, *, point: str) -> None:
        super().__init__(pool, seal=Seal(settings.seal_key), look_after=settings.check_after)
        self._point = point

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[PostgresTransaction]:
        async with super().transaction() as transaction:
            yield transaction
            await self._stand_still_at("written")
        await self._stand_still_at("committed")

    async def _stand_still_at(self, point: str) -> None:
        if point == self._point:
            structlog.get_logger().info("stands_still", point=point)
            await asyncio.Event().wait()


async def main(point: str) -> None:
    settings = Settings()
    url = settings.amqp_url.get_secret_value()
    store = StoppingStore(await database.open_pool(settings.database_url.get_secret_value()), settings, point=point)
    rules = Rules(channels=frozenset({"inbox", "sms"}), quiet_hours=None, phone_key=settings.phone_key)
    handle = partial(notify, store=store, rules=rules, clock=lambda: datetime.now(UTC))
    publisher = Publisher(url, name="stopping inbox")
    subscription = Subscription(BY_NAME["inbox-api.standard"], handle, batch=200)
    await running.run({point: consuming(subscription, url=url, publisher=publisher)})


if __name__ == "__main__":
    configure_logs("stopping inbox")
    asyncio.run(main(sys.argv[1]))
