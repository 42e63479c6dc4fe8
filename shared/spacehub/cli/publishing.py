"""`spacehub publish` and `spacehub validate`: events from files, checked as the consumers will check them."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import typer

from spacehub.cli.connecting import AmqpUrl, broker_url
from spacehub.cli.event_files import Files, read_events
from spacehub.confirming import Confirm, Outgoing
from spacehub.errors import Away
from spacehub.events import envelope
from spacehub.events.catalogue import EVENTS_EXCHANGE
from spacehub.rabbit import Publisher

LONGEST_MESSAGE_ID = 255
"""Bytes (AMQP 0-9-1). An event with a longer id goes without: it is known by the id in the event."""


def validate(files: Files) -> None:
    """Say of each event whether the system would understand it; a fault is told by its field."""
    events = _checked(files)
    typer.echo(f"{len(events)} valid")


def publish(files: Files, amqp_url: AmqpUrl = None) -> None:
    """Publish the events, after all of them proved valid, and wait until the broker has them."""
    messages = _checked(files)
    raise typer.Exit(asyncio.run(_publish(messages, broker_url(amqp_url))))


async def _publish(messages: Sequence[Outgoing], url: str) -> int:
    publisher = Publisher(url, name="spacehub publish")
    try:
        confirms = await publisher.publish(messages, within=30.0)
    except Away as away:
        typer.secho(f"Not published: {away}", fg="red", err=True)
        return 1
    finally:
        await publisher.close()
    for message, confirm in zip(messages, confirms, strict=True):
        typer.echo(f"{message.message_id}  {message.routing_key}  {_told(confirm)}")
    return 0 if all(confirm is Confirm.ACKED for confirm in confirms) else 1


def _told(confirm: Confirm) -> str:
    match confirm:
        case Confirm.ACKED:
            return "published"
        case Confirm.RETURNED:
            return "NOT published: no queue is bound for this type"
        case Confirm.REFUSED:
            return "NOT published: the broker refused it"
        case Confirm.UNCERTAIN:
            return "perhaps published: no answer came; publish it again, a second copy changes nothing"


def _checked(files: Sequence[Path]) -> list[Outgoing]:
    """The messages in `files`. Ends the command when any is invalid."""
    return [
        Outgoing(
            exchange=EVENTS_EXCHANGE,
            routing_key=found.event.data.routing_key,
            body=found.body,
            message_id=found.event.id if len(found.event.id.encode()) <= LONGEST_MESSAGE_ID else "",
            content_type=envelope.STRUCTURED,
        )
        for found in read_events(files, otherwise="nothing was published")
    ]
