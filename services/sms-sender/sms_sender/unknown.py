"""`sms-sender unknown`: the SMS of which nobody knows whether they were sent, and what a person says of them."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar
from uuid import UUID

import structlog
import typer
from spacehub import database
from spacehub.cli.connecting import database_url
from spacehub.errors import Away
from spacehub.quiet_hours import ULAANBAATAR

from sms_sender.doubts import Doubt, Doubts
from sms_sender.settings import PREFIX, CommandSettings
from sms_sender.settling import NotSettled, settle
from sms_sender.word import Word

Answer = TypeVar("Answer")

app = typer.Typer(no_args_is_help=True, help="SMS of which nobody knows whether they were sent.")


@app.command("list")
def list_(limit: Annotated[int, typer.Option(min=1, help="How many to print.")] = 100) -> None:
    """Print those in doubt, for the longest time first; times are Ulaanbaatar's."""
    found = _with_doubts(lambda doubts: doubts.listed(most=limit + 1))
    for doubt in found[:limit]:
        typer.echo(_line(doubt))
    if not found:
        typer.echo("nothing is in doubt")
    if len(found) > limit:
        typer.echo(f"and more: the first {limit} are shown")


@app.command("settle")
def settle_command(
    sms_id: Annotated[UUID, typer.Argument(metavar="ID", help="As `list` prints it.")],
    was_sent: Annotated[bool, typer.Option("--sent/--not-sent", help="What became of it.")],
    by: Annotated[str, typer.Option(metavar="NAME", help="Who says so.")],
    reason: Annotated[str, typer.Option(metavar="TEXT", help="How they know.")],
    resend: Annotated[bool, typer.Option("--resend", help="With --not-sent: send it after all.")] = False,
) -> None:
    """Say what became of one; it is remembered who said so, and why."""
    if not by.strip() or not reason.strip():
        raise typer.BadParameter("--by and --reason should say something")
    if was_sent and resend:
        raise typer.BadParameter("--resend goes with --not-sent only")
    word = Word(sms_id, was_sent=was_sent, by=by.strip(), reason=reason.strip(), resend=resend)
    try:
        _with_doubts(lambda doubts: settle(word, doubts=doubts))
    except NotSettled as refusal:
        typer.secho(f"Not done: {refusal}", fg="red", err=True)
        raise typer.Exit(1) from None
    if resend:
        typer.echo(f"{sms_id} waits for another attempt. Nothing is sent yet and no end is told: the ledger has no")
        typer.echo("texts, so it goes out when inbox-api asks for it again under the same id.")
    else:
        typer.echo(f"{sms_id} is settled as {'sent' if was_sent else 'failed, not_sent'}")


def _line(doubt: Doubt) -> str:
    since = doubt.settled_at.astimezone(ULAANBAATAR)
    phone = f"…{doubt.phone_last4}" if doubt.phone_last4 else "erased"
    return (
        f"{doubt.sms_id}  {since:%Y-%m-%d %H:%M:%S}  {doubt.about:<22}  {phone}  {doubt.reason or '':<18}  "
        f"segments {doubt.segments}  attempts {doubt.attempts}  {doubt.subject or ''}"
    ).rstrip()


def _with_doubts(ask: Callable[[Doubts], Awaitable[Answer]]) -> Answer:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    given = CommandSettings().database_url
    url = database_url(given.get_secret_value() if given else None, name="sms", variable=f"{PREFIX}DATABASE_URL")

    async def asked() -> Answer:
        async with database.pooled(url, size=1) as pool:
            return await ask(Doubts(pool))

    try:
        return asyncio.run(asked())
    except Away as away:
        typer.secho(f"Not done: {away}", fg="red", err=True)
        raise typer.Exit(1) from None
