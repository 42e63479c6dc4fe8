"""`spacehub dead`: what could not be handled, why, and what to do about it."""

import asyncio
from collections.abc import Coroutine
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.table import Column, Table

from spacehub import auditing, dead_letters
from spacehub.auditing import NOT_GIVEN, Deed
from spacehub.cli.connecting import AmqpUrl, broker_url
from spacehub.cli.withdrawals import ApiUrl, OpsToken, closed_by_now
from spacehub.dead_letters import Closed, NoSuchQueue, Redriven, Tally
from spacehub.errors import Away
from spacehub.masking import printable
from spacehub.rabbit import Publisher
from spacehub.topology import WORK_QUEUES, WorkQueue

T = TypeVar("T")

REASONS_SHOWN = 10

app = typer.Typer(no_args_is_help=True, help="Dead letters: what could not be handled, and why.")
QueueName = Annotated[str, typer.Argument(metavar="QUEUE", help="With or without .dead")]
By = Annotated[str | None, typer.Option(metavar="NAME", help="Who does this; else the user of this machine.")]
Why = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why it is done, for the audit.")]


@app.command("list")
def list_(amqp_url: AmqpUrl = None) -> None:
    """Count the letters of every dead-letter queue, and their reasons, the most frequent first."""
    table = Table(Column("queue", no_wrap=True), Column("letters", no_wrap=True), Column("reasons", overflow="fold"))
    for queue, tally in _run(dead_letters.tallies(broker_url(amqp_url))).items():
        table.add_row(queue, str(tally.letters), "\n".join(_reasons(tally)))
    Console().print(table)


@app.command()
def show(
    queue: QueueName,
    limit: Annotated[int, typer.Option(min=1, help="How many letters")] = 20,
    amqp_url: AmqpUrl = None,
) -> None:
    """Print letters with their reasons; secrets in the bodies are masked."""
    for letter in _run(dead_letters.show(broker_url(amqp_url), _queue(queue), limit=limit)):
        typer.echo(f"{letter.id}  {letter.failed_at}  from {letter.origin}  attempts {letter.attempts}")
        typer.echo(f"  {letter.reason}")
        typer.echo(f"  {letter.body}")


@app.command()
def redrive(
    queue: QueueName,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many letters")] = None,
    rate: Annotated[float, typer.Option(min=0.1, help="Letters a second")] = 50.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what would be done, and do nothing.")] = False,
    by: By = None,
    reason: Why = NOT_GIVEN,
    amqp_url: AmqpUrl = None,
    api_url: ApiUrl = None,
    ops_token: OpsToken = None,
) -> None:
    """Send letters back to the queue they died in; what has expired or was withdrawn stays."""
    work, url = _queue(queue), broker_url(amqp_url)
    closed = closed_by_now(api_url, ops_token, in_development=amqp_url is None)
    if dry_run:
        done = _run(dead_letters.redrive(url, work, limit=limit, dry=True, closed=closed))
    else:
        deed = _deed(work, by, reason)
        done = _run(_redrive(url, work, deed, limit=limit, rate=rate, closed=closed))
    typer.echo(
        f"{done.sent} {'would be ' if dry_run else ''}sent back, {done.expired} refused because they have expired, "
        f"{done.withdrawn} because they were withdrawn"
    )


@app.command()
def discard(queue: QueueName, by: By = None, reason: Why = NOT_GIVEN, amqp_url: AmqpUrl = None) -> None:
    """Delete the letters that are there now."""
    work, url = _queue(queue), broker_url(amqp_url)
    typer.echo(f"{_run(_discard(url, work, _deed(work, by, reason)))} discarded")


@app.command()
def audit(
    limit: Annotated[int, typer.Option(min=1, help="How many notes, the newest.")] = 50, amqp_url: AmqpUrl = None
) -> None:
    """Print who did what to dead letters, when and why."""
    for note in _run(auditing.notes(broker_url(amqp_url), newest=limit)):
        told = "  ".join(f"{name} {value}" for name, value in note.told.items() if value is not None)
        typer.echo(printable(f"{note.at}  {note.deed}  {note.step} {note.queue}  by {note.by}: {note.reason}  {told}"))


async def _redrive(
    url: str, queue: WorkQueue, deed: Deed, *, limit: int | None, rate: float, closed: Closed | None
) -> Redriven:
    publisher = Publisher(url, name="audit")
    try:
        await auditing.note(deed, "redrive", publisher=publisher, limit=limit, rate=rate)
        done = await dead_letters.redrive(url, queue, limit=limit, per_second=rate, closed=closed)
        told = {"sent": done.sent, "expired": done.expired, "withdrawn": done.withdrawn}
        await auditing.note(deed, "redriven", publisher=publisher, **told)
        return done
    finally:
        await publisher.close()


async def _discard(url: str, queue: WorkQueue, deed: Deed) -> int:
    publisher = Publisher(url, name="audit")
    try:
        await auditing.note(deed, "discard", publisher=publisher)
        gone = await dead_letters.discard(url, queue)
        await auditing.note(deed, "discarded", publisher=publisher, letters=gone)
        return gone
    finally:
        await publisher.close()


def _deed(queue: WorkQueue, by: str | None, reason: str) -> Deed:
    return Deed(queue.dead, (by or "").strip() or auditing.somebody(), reason.strip() or NOT_GIVEN)


def _reasons(tally: Tally) -> list[str]:
    most = tally.reasons.most_common()
    shown = [f"{count} × {reason or 'no reason given'}" for reason, count in most[:REASONS_SHOWN]]
    if others := len(most) - REASONS_SHOWN:
        shown += [f"and {others} other reasons"] if others > 0 else []
    if (unseen := tally.letters - tally.reasons.total()) > 0:
        shown.append(f"{unseen} × not looked into")
    return shown


def _queue(name: str) -> WorkQueue:
    try:
        return dead_letters.work_queue(name)
    except NoSuchQueue:
        known = ", ".join(queue.name for queue in WORK_QUEUES)
        typer.secho(f"No such queue: {name}. There are: {known}", fg="red", err=True)
        raise typer.Exit(2) from None


def _run(work: Coroutine[Any, Any, T]) -> T:
    try:
        return asyncio.run(work)
    except Away as away:
        typer.secho(f"Not done: {away}", fg="red", err=True)
        raise typer.Exit(1) from None
