"""`sms-sender restored`: the database was restored, so what happened before may have been sent already."""

import asyncio
import sys
from datetime import UTC, datetime
from typing import Annotated

import structlog
import typer
from spacehub import database
from spacehub.cli.connecting import database_url
from spacehub.errors import Away

from sms_sender.restorations import Restorations
from sms_sender.settings import PREFIX, CommandSettings


def restored(
    by: Annotated[str, typer.Option(metavar="NAME", help="Who says so.")],
    until: Annotated[
        datetime | None, typer.Option(help="When the lost database stopped, in UTC; now, unless it is said.")
    ] = None,
    lift: Annotated[bool, typer.Option("--lift", help="All that was to be settled is settled: hold no more.")] = False,
) -> None:
    """Hold every SMS of which the restored ledger cannot know whether it was sent, until a person settles it.

    To be run before the senders start. What is held is listed by `unknown list` and settled by `unknown settle`. Codes
    and whatever happens later go out as ever.
    """
    if not by.strip() or (lift and until):
        raise typer.BadParameter("--by should say something, and --until does not go with --lift")
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    moment = (until or datetime.now(UTC)).replace(tzinfo=UTC)
    try:
        typer.echo(asyncio.run(_lift(by) if lift else _note(moment, by)))
    except Away as away:
        typer.secho(f"Not done: {away}", fg="red", err=True)
        raise typer.Exit(1) from None


async def _note(until: datetime, by: str) -> str:
    async with database.pooled(_url(), size=1) as pool:
        count = await Restorations(pool).note(until, by=by)
    return f"what happened before {until:%Y-%m-%d %H:%M:%S} UTC is held; {count} SMS on record are in doubt"


async def _lift(by: str) -> str:
    async with database.pooled(_url(), size=1) as pool:
        return f"{await Restorations(pool).lift(by=by)} restores lifted"


def _url() -> str:
    given = CommandSettings().database_url
    return database_url(given.get_secret_value() if given else None, name="sms", variable=f"{PREFIX}DATABASE_URL")
