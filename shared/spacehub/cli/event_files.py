"""Events in files, read as the consumers will read them; every fault is told by its place and its field."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from spacehub.errors import Unreadable
from spacehub.events import envelope
from spacehub.events.envelope import Event

Files = Annotated[list[Path], typer.Argument(help="JSON files: one CloudEvent or a list of them each; - is stdin.")]


@dataclass(frozen=True, slots=True)
class Found:
    """One event of a file: as it was read, and as it is published."""

    event: Event
    body: bytes


def read_events(files: Sequence[Path], *, otherwise: str) -> list[Found]:
    """The events in `files`. Ends the command when any is invalid, after naming every fault.

    `otherwise` says in a few words what that means: `nothing was published`.
    """
    found, faults = [], 0
    for file in files:
        try:
            contents = _contents(file)
        except (OSError, ValueError, RecursionError) as fault:
            faults += 1
            typer.secho(f"{file}: {_plain(fault)}", fg="red", err=True)
            continue
        for number, content in enumerate(contents):
            body = json.dumps(content, ensure_ascii=False).encode(errors="surrogatepass")
            try:
                event = envelope.read(body, content_type=envelope.STRUCTURED, headers={})
            except Unreadable as fault:
                faults += 1
                place = f"{file}[{number}]" if len(contents) > 1 else str(file)
                typer.secho(f"{place}: {fault.reason}", fg="red", err=True)
                continue
            found.append(Found(event, body))
    if faults:
        typer.secho(f"{faults} invalid, {otherwise}", fg="red", err=True)
        raise typer.Exit(1)
    return found


def _contents(file: Path) -> list[Any]:
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
