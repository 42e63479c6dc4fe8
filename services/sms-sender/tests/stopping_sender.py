"""One lane of sms-sender that stands still at one point for ever, to be killed there: `stopping_sender.py LANE POINT`.

The points: `claimed` (no call yet), `called` (the carrier answered, nothing recorded), `recorded` (no ack yet).
"""

import asyncio
import sys
from datetime import timedelta
from functools import partial
from typing import get_args

import structlog
from sms_sender.account import Account
from sms_sender.attempts import Attempt
from sms_sender.consumers import sms_requests
from sms_sender.gateway import open_gateway
from sms_sender.ledger import Ledger
from sms_sender.outcomes import Outcome
from sms_sender.replies import load_grammar
from sms_sender.sending import give_up, send_sms
from sms_sender.settings import Settings
from spacehub import database, running
from spacehub.consuming.subscription import consuming
from spacehub.events.requests import SmsRequested
from spacehub.outbox import Lane
from spacehub.rabbit import Publisher
from spacehub.telemetry import configure_logs


async def stand_still(point: str) -> None:
    structlog.get_logger().info("stands_still", point=point)
    await asyncio.Event().wait()


class StoppingLedger(Ledger):
    """A ledger that stands still after a claim, before a record, or after it."""

    point = ""

    async def claim(self, sms: SmsRequested, *, segments: int) -> Attempt | None:
        attempt = await super().claim(sms, segments=segments)
        if self.point == "claimed":
            await stand_still(self.point)
        return attempt

    async def record(self, attempt: Attempt, outcome: Outcome, *, took: timedelta) -> None:
        if self.point == "called":
            await stand_still(self.point)
        await super().record(attempt, outcome, took=took)
        if self.point == "recorded":
            await stand_still(self.point)


async def main(lane: Lane, point: str) -> None:
    settings = Settings()
    url = settings.amqp_url.get_secret_value()
    account = Account(
        url=settings.gateway_url,
        username=settings.gateway_username,
        password=settings.gateway_password.get_secret_value(),
        sender=settings.gateway_from,
    )
    ledger = StoppingLedger(
        await database.open_pool(settings.database_url.get_secret_value()), phone_key=settings.phone_key
    )
    ledger.point = point
    async with open_gateway(account, grammar=load_grammar(settings.gateway_grammar)) as gateway:
        subscription = sms_requests(
            lane,
            send=partial(send_sms, gateway=gateway, ledger=ledger, deadline=settings.gateway_deadline),
            give_up=partial(give_up, ledger=ledger),
            tell=ledger.tell,
            workers=1,
        )
        publisher = Publisher(url, name="stopping sender")
        await running.run({lane: consuming(subscription, url=url, publisher=publisher)})


if __name__ == "__main__":
    configure_logs("stopping sender")
    [chosen] = [lane for lane in get_args(Lane) if lane == sys.argv[1]]
    asyncio.run(main(chosen, sys.argv[2]))
