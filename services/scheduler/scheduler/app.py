"""The scheduler command: `consume` learns, `fire` is the clock, `forward` publishes; `migrate` and `due` run once."""

import asyncio
import re
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import asyncpg
import typer
from pydantic import ValidationError
from spacehub import database, forwarder, health, migrating, running, telemetry
from spacehub.consuming import subscription
from spacehub.errors import Away
from spacehub.events.facts import DevicesPruneDue, RetentionDue
from spacehub.quiet_hours import ULAANBAATAR
from spacehub.rabbit import Publisher
from spacehub.running import Task
from spacehub.settings import TraceSettings

from scheduler import slots
from scheduler.arming import learn
from scheduler.clock import keeping_time
from scheduler.consumers import facts
from scheduler.database_clock import DatabaseClock, hearing
from scheduler.firing import Recurring, fire
from scheduler.forgetting import forget_old_facts
from scheduler.listing import list_coming
from scheduler.settings import Settings
from scheduler.timetable import Timetable

MIGRATIONS = Path(__file__).resolve().parents[1] / "migrations"
_UNITS = {"d": "days", "h": "hours", "m": "minutes"}

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help="Knows time: durable timers, cron slots.")


@app.command("consume")
def consume_command() -> None:
    """Learn due dates from the other domains' facts, until told to stop."""
    asyncio.run(_consume(_settings("consume")))


@app.command("fire")
def fire_command() -> None:
    """Fire what is due, until told to stop. Any number of these may run."""
    asyncio.run(_fire(_settings("fire")))


@app.command("forward")
def forward_command() -> None:
    """Publish the events that were fired, until told to stop."""
    asyncio.run(_forward(_settings("forward")))


@app.command("migrate")
def migrate_command(wait: migrating.Wait = False) -> None:
    """Bring the database to its newest shape."""
    migrating.upgrade(MIGRATIONS, _settings("migrate").database_url.get_secret_value(), wait=wait)


@app.command("due")
def due_command(
    within: Annotated[
        str, typer.Option(help="How far to look ahead: days, hours or minutes, e.g. 7d, 36h, 90m.")
    ] = "7d",
    most: Annotated[int, typer.Option("--limit", min=1, help="How many to print.")] = 1000,
) -> None:
    """Print what will fire, and when, in Ulaanbaatar's time."""
    span = _span(within)
    asyncio.run(_due(_settings("due"), span, most))


async def _consume(settings: Settings) -> None:
    async with _pool(settings) as pool:
        publisher = Publisher(settings.amqp_url.get_secret_value, name="scheduler consume")
        learning = partial(learn, timetable=Timetable(pool), clock=DatabaseClock(pool))
        tasks = subscription.tasks(
            [facts(learn=learning, batch=settings.facts_batch)],
            url=settings.amqp_url.get_secret_value,
            publisher=publisher,
        )
        await _run(settings, tasks, {"postgresql": partial(database.answers, pool), "rabbitmq": publisher.answers})
        await publisher.close()


async def _fire(settings: Settings) -> None:
    async with _pool(settings) as pool:
        timetable, clock = Timetable(pool), DatabaseClock(pool)
        ticking = keeping_time(
            fire=partial(
                fire, timetable=timetable, clock=clock, recurring=_recurring(settings), rate=settings.release_rate
            ),
            forget=partial(forget_old_facts, timetable=timetable, clock=clock, kept=settings.facts_kept),
            clock=clock,
            hearing=partial(hearing, url=settings.database_url.get_secret_value),
            poll=settings.safety_poll,
        )
        await _run(settings, {"fire": ticking}, {"postgresql": partial(database.answers, pool)})


async def _forward(settings: Settings) -> None:
    async with forwarder.emptying("scheduler", settings, lanes=["standard"]) as (tasks, checks):
        await _run(settings, tasks, checks)


async def _due(settings: Settings, span: timedelta, most: int) -> None:
    async with _pool(settings, size=1) as pool:
        try:
            now = await DatabaseClock(pool).now()
            coming = await list_coming(
                now, now + span, timetable=Timetable(pool), recurring=_recurring(settings), most=most + 1
            )
        except Away as away:
            typer.echo(str(away), err=True)
            raise typer.Exit(1) from None
    for each in coming[:most]:
        typer.echo(f"{each.at.astimezone(ULAANBAATAR):%Y-%m-%d %H:%M:%S}  {each.purpose:<18}  {each.subject}".rstrip())
    if len(coming) > most:
        typer.echo(f"and more: the first {most} are shown")
    if not coming:
        typer.echo("nothing")


async def _run(settings: Settings, tasks: Mapping[str, Task], checks: Mapping[str, health.Check]) -> None:
    pages = health.serving(health.pages(checks), host=settings.health_host, port=settings.health_port)
    await running.run({**tasks, "health": pages})


def _pool(settings: Settings, *, size: int = 4) -> AbstractAsyncContextManager["asyncpg.Pool[asyncpg.Record]"]:
    return database.pooled(settings.database_url.get_secret_value, size=size)


def _recurring(settings: Settings) -> list[Recurring]:
    prune = DevicesPruneDue(older_than_days=settings.prune_older_than_days)
    retention = RetentionDue(
        read_older_than_days=settings.read_older_than_days, settled_older_than_days=settings.settled_older_than_days
    )
    return [
        Recurring(prune, slots.parse(settings.prune_cron)),
        Recurring(retention, slots.parse(settings.retention_cron)),
    ]


def _settings(verb: str) -> Settings:
    """The settings; what is missing or wrong is told by variable, without the values, and the process ends with 2."""
    try:
        settings = Settings()
    except ValidationError as wrong:
        for fault in wrong.errors(include_url=False, include_context=False, include_input=False):
            typer.echo(f"{_variable(fault['loc'])}: {fault['msg']}", err=True)
        raise typer.Exit(2) from None
    telemetry.configure(f"scheduler {verb}", settings, TraceSettings())
    return settings


def _variable(location: tuple[Any, ...]) -> str:
    return f"SCHEDULER_{'_'.join(map(str, location)).upper()}"


def _span(text: str) -> timedelta:
    found = re.fullmatch(r"([0-9]{1,5})([dhm])", text)
    if found is None:
        raise typer.BadParameter(f"{text!r} should be a number of days, hours or minutes, such as 7d, 36h or 90m")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


if __name__ == "__main__":
    app()
