"""The sms-sender command: its processes, and what people decide about SMS in doubt."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from spacehub import migrating, telemetry
from spacehub.settings import TraceSettings

from sms_sender import processes, restored, unknown
from sms_sender.consumers import Queue
from sms_sender.settings import Settings

MIGRATIONS = Path(__file__).resolve().parents[1] / "migrations"

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help="Hands each SMS to the carrier once.")
app.add_typer(unknown.app, name="unknown")
app.command("restored")(restored.restored)


@app.command()
def consume(
    queues: Annotated[list[Queue] | None, typer.Argument(help="All of them unless some are named.")] = None,
) -> None:
    """Send what is asked for, and hear what closes a subject, until told to stop."""
    asyncio.run(processes.consume(_settings("consume"), queues or list(Queue)))


@app.command()
def forward() -> None:
    """Publish the outcomes that the ledger has committed, until told to stop."""
    asyncio.run(processes.forward(_settings("forward")))


@app.command()
def migrate(wait: migrating.Wait = False) -> None:
    """Bring the database to its newest shape."""
    migrating.upgrade(MIGRATIONS, _settings("migrate").database_url.get_secret_value(), wait=wait)


def _settings(verb: str) -> Settings:
    settings = Settings()
    telemetry.configure(f"sms-sender {verb}", settings, TraceSettings())
    return settings
