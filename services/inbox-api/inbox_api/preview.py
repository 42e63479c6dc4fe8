"""`inbox-api preview`: what events would say, and what their SMS would cost; nothing is sent and nothing is needed."""

import typer
from spacehub.cli.event_files import Files, read_events
from spacehub.events.envelope import Event

from inbox_api.previews import Preview, previews


def preview(files: Files) -> None:
    """Print each channel's text, its length, and of an SMS its alphabet and segments. Nothing is sent."""
    found = read_events(files, otherwise="nothing to preview")
    typer.echo("\n\n".join(_shown(one.event) for one in found))


def _shown(event: Event) -> str:
    told = [_lines(one) for one in previews(event)] or ["  says nothing to anybody"]
    return "\n".join([f"{event.data.type} {event.id}", *told])


def _lines(preview: Preview) -> str:
    rows = [f"{len(text):>3} characters  {text}" for text in (preview.title, preview.text) if text is not None]
    if size := preview.size:
        rows.append(f"{size.alphabet}, {size.units} units, {size.segments} segment{'' if size.segments == 1 else 's'}")
    where = f"{preview.channel:<5}  {', '.join(preview.locales)}"
    return "\n".join(f"  {margin:<13}  {row}" for margin, row in zip([where, *[""] * len(rows)], rows, strict=False))
