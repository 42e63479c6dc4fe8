"""The command `inbox-api`: reads the settings, and runs one of the processes."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from spacehub import migrating, telemetry
from spacehub.settings import ProcessSettings, TraceSettings

from inbox_api import preview, processes, trace
from inbox_api.consumers import Queue
from inbox_api.settings import ApiSettings, Settings

MIGRATIONS = Path(__file__).resolve().parent.parent / "migrations"

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Turns events into messages, and shows each user's inbox.",
)
app.command("preview")(preview.preview)
app.command("trace")(trace.trace)


@app.command()
def serve() -> None:
    """Answer the calls of the app, and hold its streams."""
    settings = ApiSettings()
    _tell("serve", settings)
    asyncio.run(processes.serve(settings))


@app.command()
def consume(
    queues: Annotated[list[Queue] | None, typer.Argument(help="All of them unless some are named.")] = None,
) -> None:
    """Consume the events of other domains and the outcomes of the senders."""
    settings = Settings()
    _tell("consume", settings)
    asyncio.run(processes.consume(settings, queues or list(Queue)))


@app.command()
def forward() -> None:
    """Publish what the outbox holds, and ask again for what has had no end for long."""
    settings = Settings()
    _tell("forward", settings)
    asyncio.run(processes.forward(settings))


@app.command()
def migrate(wait: migrating.Wait = False) -> None:
    """Bring the database to the newest version."""
    settings = Settings()
    _tell("migrate", settings)
    migrating.upgrade(MIGRATIONS, settings.database_url.get_secret_value(), wait=wait)


def _tell(verb: str, settings: ProcessSettings) -> None:
    telemetry.configure(f"inbox-api {verb}", settings, TraceSettings())
