"""Where the commands find the broker: an option, the environment, or the development system that runs here."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

ENDPOINTS = Path(".run/endpoints.json")

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
    for place in (ENDPOINTS, Path(sys.prefix).parent / ENDPOINTS):
        if place.is_file():
            return str(json.loads(place.read_text())["amqp_url"])
    typer.secho("No broker: pass --amqp-url, set AMQP_URL, or start `make run` here.", fg="red", err=True)
    raise typer.Exit(2)
