"""The push-sender command: `consume` brings pushes to devices."""

import asyncio
from contextlib import AsyncExitStack
from functools import partial

import typer
from spacehub import health, quiet_hours, running, telemetry
from spacehub.breaker import Breaker
from spacehub.consuming.nightly_rest import by_day
from spacehub.consuming.parking import parking
from spacehub.consuming.subscription import consuming
from spacehub.outbox import Lane
from spacehub.rabbit import Publisher
from spacehub.settings import TraceSettings

from push_sender import access, fcm
from push_sender.consumers import push_requests
from push_sender.devices import devices_api
from push_sender.fuse import Fuse
from push_sender.outcomes import PublishedOutcomes
from push_sender.pushing import Pushing
from push_sender.settings import Settings

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback()
def commands() -> None:
    """Brings each push to every device of its user."""


@app.command()
def consume() -> None:
    """Send what is asked for, until told to stop."""
    settings = Settings()
    telemetry.configure("push-sender consume", settings, TraceSettings())
    asyncio.run(_consume(settings))


async def _consume(settings: Settings) -> None:
    amqp_url = settings.amqp_url.get_secret_value
    tasks: dict[str, running.Task] = {}
    checks: dict[str, health.Check] = {}
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(fcm.connections(timeout=settings.fcm_timeout))
        devices = await stack.enter_async_context(
            devices_api(settings.devices_url, secret=settings.devices_secret, timeout=settings.devices_timeout)
        )
        account = access.Access(partial(access.service_account, settings.fcm_credentials_file))
        stack.callback(account.close)
        platforms, fuse = fcm.platform_breakers(), Fuse()
        for lane, batch, workers in _lanes(settings):
            publisher = Publisher(amqp_url, name=f"push-sender {lane}")
            stack.push_async_callback(publisher.close)
            breaker = Breaker(lane)
            sending = fcm.Fcm(
                f"{settings.fcm_base_url.rstrip('/')}/v1/projects/{settings.fcm_project}/messages:send",
                session=session,
                access=account,
                lane=breaker,
                platforms=platforms,
                connections=settings.fcm_connections,
            )
            pushing = Pushing(
                devices=devices, fcm=sending, outcomes=PublishedOutcomes(publisher), lane=breaker, fuse=fuse
            )
            subscription = push_requests(lane, pushing, batch=batch, workers=workers)
            task = consuming(subscription, url=amqp_url, publisher=publisher)
            window = quiet_hours.parse(settings.quiet_hours) if lane == "standard" else None
            tasks[f"consume {lane}"] = by_day(task, window, queue=subscription.queue.name)
            tasks[f"park {lane}"] = parking(subscription.queue, url=amqp_url, publisher=publisher)
            checks[f"broker {lane}"] = publisher.answers
        pages = health.serving(health.pages(checks), host=settings.health_host, port=settings.health_port)
        await running.run({**tasks, "health": pages})


def _lanes(settings: Settings) -> tuple[tuple[Lane, int, int], ...]:
    """Each lane with its batch and its workers."""
    return (
        ("critical", settings.critical_batch, settings.critical_workers),
        ("standard", settings.standard_batch, settings.standard_workers),
    )
