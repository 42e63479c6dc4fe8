"""`spacehub dead`: what could not be handled, why, and what to do about it."""

import asyncio
from collections.abc import Coroutine
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.table import Table

from spacehub import dead_letters
from spacehub.cli.connecting import AmqpUrl, broker_url
from spacehub.dead_letters import NoSuchQueue
from spacehub.errors import Away
from spacehub.topology import WORK_QUEUES, WorkQueue

T = TypeVar("T")

app = typer.Typer(no_args_is_help=True, help="Dead letters: what could not be handled, and why.")
QueueName = Annotated[str, typer.Argument(metavar="QUEUE", help="With or without .dead")]


@app.command("list")
def list_(amqp_url: AmqpUrl = None) -> None:
    """Count the letters of every dead-letter queue."""
    table = Table("queue", "letters")
    for queue, count in _run(dead_letters.counts(broker_url(amqp_url))).items():
        table.add_row(queue, str(count))
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
    amqp_url: AmqpUrl = None,
) -> None:
    """Send letters back to the queue they died in; what has expired stays."""
    done = _run(dead_letters.redrive(broker_url(amqp_url), _queue(queue), limit=limit, per_second=rate))
    typer.echo(f"{done.sent} sent back, {done.expired} refused because they have expired")


@app.command()
def discard(queue: QueueName, amqp_url: AmqpUrl = None) -> None:
    """Delete the letters that are there now."""
    typer.echo(f"{_run(dead_letters.discard(broker_url(amqp_url), _queue(queue)))} discarded")


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
