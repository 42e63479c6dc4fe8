"""`inbox-api trace`: what became of the deliveries of an event, a user or a phone, for a person to read."""

import asyncio
import sys
from typing import Annotated

import structlog
import typer
from pydantic import SecretStr
from spacehub import database
from spacehub.cli.connecting import database_url, secret
from spacehub.errors import Away

from inbox_api.accounts import account
from inbox_api.records import Record
from inbox_api.settings import PREFIX, CommandSettings
from inbox_api.tracing import asked_about
from inbox_api.tracing_store import PostgresRecords


def trace(
    what: Annotated[str, typer.Argument(metavar="EVENT_ID|PHONE|USER_ID", help="A delivery's own id will do as well.")],
    limit: Annotated[int, typer.Option(min=1, help="Print so many deliveries, the newest.")] = 50,
) -> None:
    """Print what became of each delivery, step by step; times are Ulaanbaatar's."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    settings = CommandSettings()
    url = database_url(_plain(settings.database_url), name="inbox", variable=f"{PREFIX}DATABASE_URL")
    key = SecretStr(secret(_plain(settings.phone_key), name="phone-key", variable=f"{PREFIX}PHONE_KEY"))
    try:
        found = asyncio.run(_found(what, url=url, key=key, most=limit + 1))
    except Away as away:
        typer.secho(f"Not done: {away}", fg="red", err=True)
        raise typer.Exit(1) from None
    if not found:
        typer.secho("No delivery of such an event, user or phone is on record.", err=True)
        raise typer.Exit(1)
    typer.echo("\n\n".join(map(account, reversed(found[:limit]))))
    if len(found) > limit:
        typer.echo(f"\nand more: the newest {limit} are shown")


async def _found(what: str, *, url: str, key: SecretStr, most: int) -> list[Record]:
    async with database.pooled(url, size=1) as pool:
        return await asked_about(what, records=PostgresRecords(pool), phone_key=key, most=most)


def _plain(given: SecretStr | None) -> str | None:
    return given.get_secret_value() if given else None
