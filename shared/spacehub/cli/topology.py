"""`spacehub topology`: makes the exchanges, queues and bindings, once or for as long as it runs."""

import asyncio
from urllib.parse import quote, unquote, urlsplit

import aiormq
import httpx
import structlog
import typer

from spacehub import rabbit, running
from spacehub.cli.connecting import AmqpUrl, ManagementUrl, broker_url
from spacehub.errors import Away
from spacehub.events.catalogue import EVENTS_EXCHANGE
from spacehub.running import Backoff, Task
from spacehub.telemetry import configure_logs
from spacehub.topology import UNROUTED_EXCHANGE, declare

log = structlog.get_logger()
app = typer.Typer(no_args_is_help=True, help="Exchanges, queues and bindings.")

EVERY = 5.0
"""Seconds between two looks for what was deleted."""


@app.command()
def apply(amqp_url: AmqpUrl = None, management_url: ManagementUrl = None) -> None:
    """Make whatever is missing, then end. Waits up to a minute for the broker."""
    asyncio.run(_apply_once(broker_url(amqp_url), management_url))


@app.command()
def keep(amqp_url: AmqpUrl = None, management_url: ManagementUrl = None) -> None:
    """Make whatever is missing, again and again, until stopped: a deleted queue or binding comes back."""
    configure_logs("topology keep")
    asyncio.run(running.run({"topology": keeping(broker_url(amqp_url), management_url)}))


def keeping(url: str, management_url: str | None, *, every: float = EVERY) -> Task:
    """A long task that makes whatever is missing, every so many seconds."""

    async def keep(stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            try:
                await _apply(url, management_url)
            except Away as away:
                log.warning("topology_not_kept", reason=str(away))
            await running.happens(stopping, within=every)

    return keep


async def _apply_once(url: str, management_url: str | None) -> None:
    backoff, never = Backoff(), asyncio.Event()
    try:
        async with asyncio.timeout(60):
            while True:
                try:
                    return await _apply(url, management_url)
                except Away:
                    await backoff.wait(never)
    except TimeoutError:
        typer.secho("The broker could not be reached for a minute.", fg="red", err=True)
        raise typer.Exit(1) from None
    except aiormq.exceptions.ChannelPreconditionFailed as conflict:
        typer.secho(f"Something exists with other arguments; delete it first: {conflict}", fg="red", err=True)
        raise typer.Exit(1) from None


async def _apply(url: str, management_url: str | None) -> None:
    connection = await rabbit.connect(url, name="topology")
    try:
        await declare(connection)
    except (OSError, aiormq.exceptions.AMQPConnectionError, RuntimeError) as fault:
        raise Away(f"rabbitmq: {type(fault).__name__}") from fault
    finally:
        await rabbit.close(connection)
    if management_url is not None:
        await _catch_unrouted(url, management_url)


async def _catch_unrouted(url: str, management_url: str) -> None:
    """Name the alternate exchange by a policy: as an argument it would refuse publishers that declare it plainly."""
    vhost = quote(unquote(urlsplit(url).path.removeprefix("/")) or "/", safe="")
    policy = {
        "pattern": f"^{EVENTS_EXCHANGE.replace('.', '[.]')}$",
        "apply-to": "exchanges",
        "definition": {"alternate-exchange": UNROUTED_EXCHANGE},
    }
    try:
        async with httpx.AsyncClient(timeout=10.0, trust_env=False) as client:
            answer = await client.put(f"{management_url.rstrip('/')}/api/policies/{vhost}/unrouted", json=policy)
            answer.raise_for_status()
    except httpx.HTTPError as fault:
        raise Away(f"rabbitmq management: {type(fault).__name__}") from fault
