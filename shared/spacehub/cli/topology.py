"""`spacehub topology`: makes users, exchanges, queues and bindings, once or for as long as it runs."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated

import aiormq
import structlog
import typer

from spacehub import health, management, permissions, rabbit, replacing, running
from spacehub.cli.connecting import AmqpUrl, ManagementUrl, broker_url
from spacehub.cli.passwords import passwords
from spacehub.errors import Away
from spacehub.replacing import NotYet
from spacehub.running import Backoff, Task
from spacehub.secret import Secret, now
from spacehub.settings import mounted
from spacehub.telemetry import configure_logs
from spacehub.topology import OtherArguments, declare

log = structlog.get_logger()
app = typer.Typer(no_args_is_help=True, help="Users, exchanges, queues and bindings.")

EVERY = 5.0
"""Seconds between two looks for what was deleted."""

PATIENCE = 60.0
"""Seconds for a broker that is just starting."""

HOW_TO_CHANGE = """\
A broker never changes what exists, so it must be deleted and made anew.
In development: stop the system, remove .run/rabbitmq with all that waits there, start again.
In production: `spacehub topology replace QUEUE` loses nothing; how it is used stands in docs/operations.md."""


@app.command()
def users(
    amqp_url: AmqpUrl = None,
    management_url: ManagementUrl = None,
    prefix: Annotated[
        str, typer.Option(envvar="SPACEHUB_USER_PREFIX", help="Goes before each name, on a broker that others use too.")
    ] = "",
) -> None:
    """Make every user of the broker, with exactly its permissions; who exists gets the password that is given now.

    Needs an administrator's management URL, and each user's password: SPACEHUB_PASSWORD_INBOX_API and so on, or a
    mounted file of that name. Open connections stay.
    """
    administrator = _management(management_url)
    if administrator is None:
        typer.secho("No management API: pass --management-url or set SPACEHUB_MANAGEMENT_URL.", fg="red", err=True)
        raise typer.Exit(2)
    vhost = management.vhost_of(now(_broker(amqp_url)))
    everybody, known = list(permissions.users()), passwords(permissions.names())
    _once(lambda: management.make_users(now(administrator), everybody, known, vhost=vhost, prefix=prefix))
    typer.echo(f"{len(everybody)} users")


@app.command()
def apply(amqp_url: AmqpUrl = None, management_url: ManagementUrl = None) -> None:
    """Make whatever is missing, then end. Waits up to a minute for the broker."""
    url, administrator = _broker(amqp_url), _management(management_url)
    try:
        _once(lambda: _apply(url, administrator))
    except OtherArguments as conflict:
        typer.secho(f"The topology is not as it should be: {conflict}.\n{HOW_TO_CHANGE}", fg="red", err=True)
        raise typer.Exit(1) from None


@app.command()
def replace(
    queue: Annotated[str, typer.Argument(metavar="QUEUE", help="The queue that `apply` names.")],
    amqp_url: AmqpUrl = None,
) -> None:
    """Make a queue anew with the arguments it should have; nothing is lost. Stop its consumers first.

    Needs an administrator's URL. What waits, and what comes meanwhile, rests in QUEUE.stand-in. Killed half-way: run
    it again.
    """
    try:
        moved = asyncio.run(replacing.replace(now(_broker(amqp_url)), queue))
    except (NotYet, Away) as reason:
        typer.secho(f"Not replaced: {reason}", fg="red", err=True)
        raise typer.Exit(1) from None
    typer.echo(f"{queue} is as it should be; {moved} messages were moved")


@app.command()
def keep(
    amqp_url: AmqpUrl = None,
    management_url: ManagementUrl = None,
    health_host: Annotated[str, typer.Option(envvar="SPACEHUB_HEALTH_HOST")] = "127.0.0.1",
    health_port: Annotated[
        int | None, typer.Option(envvar="SPACEHUB_HEALTH_PORT", help="Where its pages are; none without it.")
    ] = None,
) -> None:
    """Make whatever is missing, again and again, until stopped: a deleted queue or binding comes back."""
    configure_logs("topology keep")
    kept = Kept()
    tasks = {"topology": keeping(_broker(amqp_url), _management(management_url), kept=kept)}
    if health_port is not None:
        tasks["health"] = health.serving(health.pages({"topology": kept.answers}), host=health_host, port=health_port)
    asyncio.run(running.run(tasks))


def _broker(given: str | None) -> Secret:
    """As `broker_url`, or a mounted file, which may change."""
    secret = None if given else mounted("SPACEHUB_AMQP_URL")
    return secret.get_secret_value if secret else broker_url(given)


def _management(given: str | None) -> Secret | None:
    secret = None if given else mounted("SPACEHUB_MANAGEMENT_URL")
    return secret.get_secret_value if secret else given


class Kept:
    """Whether nothing was missing when it was last looked."""

    whole = False

    async def answers(self) -> bool:
        return self.whole


def keeping(url: Secret, management_url: Secret | None, *, kept: Kept, every: float = EVERY) -> Task:
    """A long task that makes whatever is missing, every so many seconds."""

    async def keep(stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            whole = False
            try:
                await _apply(url, management_url)
                whole = True
            except (Away, OtherArguments) as reason:
                log.warning("topology_not_kept", reason=str(reason))
            finally:
                kept.whole = whole
            await running.happens(stopping, within=every)

    return keep


def _once(step: Callable[[], Awaitable[None]]) -> None:
    """Take the step as soon as the broker is there. Ends the command with the reason when it is not in time."""
    reason = "no answer"

    async def patiently() -> None:
        nonlocal reason
        backoff, never = Backoff(), asyncio.Event()
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    return await step()
                except Away as away:
                    reason = str(away)
                    await backoff.wait(never)

    try:
        asyncio.run(patiently())
    except TimeoutError:
        typer.secho(f"Not done within {PATIENCE:g} s: {reason}", fg="red", err=True)
        raise typer.Exit(1) from None


async def _apply(url: Secret, management_url: Secret | None) -> None:
    connection = await rabbit.connect(url, name="topology")
    try:
        await declare(connection)
    except aiormq.exceptions.ChannelAccessRefused as refused:
        raise Away("rabbitmq: this user may not make the topology") from refused
    except (OSError, aiormq.exceptions.AMQPConnectionError, RuntimeError) as fault:
        raise Away(f"rabbitmq: {type(fault).__name__}") from fault
    finally:
        await rabbit.close(connection)
    if management_url is not None:
        await management.catch_unrouted(now(management_url), vhost=management.vhost_of(now(url)))
