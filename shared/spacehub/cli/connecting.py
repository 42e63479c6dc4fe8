"""Where the commands find broker and databases: an option, the environment, or the development system here."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

ENDPOINTS = Path(".run/endpoints.json")
SECRETS = Path(".run/secrets")

_HERE = (Path(), Path(sys.prefix).parent)
"""Where a development system may run: in the current directory, or beside the `.venv` this command comes from."""

AmqpUrl = Annotated[
    str | None,
    typer.Option(
        "--amqp-url",
        envvar=["SPACEHUB_AMQP_URL", "AMQP_URL"],
        help="The broker; without it, the development system found in .run/endpoints.json.",
    ),
]
ManagementUrl = Annotated[
    str | None,
    typer.Option(
        "--management-url",
        envvar=["SPACEHUB_MANAGEMENT_URL"],
        help="RabbitMQ's management API, with user and password in it.",
    ),
]


def broker_url(given: str | None) -> str:
    """The broker's URL: given, or that of the system running here or beside the `.venv` this command comes from.

    Ends the command with a hint when there is none.
    """
    if given:
        return given
    if running := running_here():
        return str(running["amqp_url"])
    typer.secho("No broker: pass --amqp-url, set AMQP_URL, or start `make run` here.", fg="red", err=True)
    raise typer.Exit(2)


def database_url(given: str | None, *, name: str, variable: str) -> str:
    """The URL of a service's database: given, or that of `name` in the system running here, as above."""
    if given:
        return given
    if running := running_here():
        return str(running["databases"][name])
    typer.secho(f"No database: set {variable}, or start `make run` here.", fg="red", err=True)
    raise typer.Exit(2)


def secret(given: str | None, *, name: str, variable: str) -> str:
    """A secret that the services share: given, or the development system's of that `name`, as above."""
    if given:
        return given
    for place in _HERE:
        kept = place / SECRETS / name
        if kept.is_file():
            return kept.read_text()
    typer.secho(f"Set {variable}, or start `make run` here.", fg="red", err=True)
    raise typer.Exit(2)


def running_here() -> dict[str, Any]:
    """The content of endpoints.json where a development system runs, nothing where none does."""
    for place in _HERE:
        if (place / ENDPOINTS).is_file():
            return dict(json.loads((place / ENDPOINTS).read_text()))
    return {}
