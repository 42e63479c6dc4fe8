"""`spacehub publish` and `spacehub validate`: events from files, checked as the consumers will check them."""

import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from spacehub.cli.connecting import AmqpUrl, broker_url
from spacehub.confirming import Confirm, Outgoing
from spacehub.errors import Away, Unreadable
from spacehub.events import envelope
from spacehub.events.catalogue import EVENTS_EXCHANGE
from spacehub.rabbit import Publisher

Files = Annotated[list[Path], typer.Argument(help="JSON files: one CloudEvent or a list of them each; - is stdin.")]


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
    """The messages in `files`. Ends the command when any is invalid, after naming every fault."""
    messages, faults = [], 0
    for file in files:
        try:
            found = _events_in(file)
        except (OSError, ValueError, RecursionError) as fault:
            faults += 1
            typer.secho(f"{file}: {_plain(fault)}", fg="red", err=True)
            continue
        for number, event in enumerate(found):
            body = json.dumps(event, ensure_ascii=False).encode(errors="surrogatepass")
            try:
                read = envelope.read(body, content_type=envelope.STRUCTURED, headers={})
            except Unreadable as fault:
                faults += 1
                place = f"{file}[{number}]" if len(found) > 1 else str(file)
                typer.secho(f"{place}: {fault.reason}", fg="red", err=True)
                continue
            messages.append(
                Outgoing(
                    exchange=EVENTS_EXCHANGE,
                    routing_key=read.data.routing_key,
                    body=body,
                    message_id=read.id if len(read.id.encode()) <= LONGEST_MESSAGE_ID else "",
                    content_type=envelope.STRUCTURED,
                )
            )
    if faults:
        typer.secho(f"{faults} invalid, nothing was published", fg="red", err=True)
        raise typer.Exit(1)
    return messages


def _events_in(file: Path) -> list[Any]:
    text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    content = json.loads(text)
    return content if isinstance(content, list) else [content]


def _plain(fault: OSError | ValueError | RecursionError) -> str:
    match fault:
        case OSError():
            return fault.strerror or "cannot be read"
        case json.JSONDecodeError():
            return f"not JSON: {fault.msg} at line {fault.lineno}, column {fault.colno}"
        case UnicodeDecodeError():
            return "not UTF-8 text"
        case _:
            return "not JSON that anybody would read"
