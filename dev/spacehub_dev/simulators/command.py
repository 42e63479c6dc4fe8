"""`spacehub-dev simulate`: runs one simulator in the foreground, until SIGTERM or Ctrl-C."""

from typing import Annotated

import typer
from aiohttp import web

from spacehub_dev.simulators.fcm import fcm_simulator
from spacehub_dev.simulators.sms import Login, sms_simulator

app = typer.Typer(no_args_is_help=True, help="Run a simulator of the outside world.")

Port = Annotated[int, typer.Option(help="Where to listen.", min=1, max=65535)]
Host = Annotated[str, typer.Option(help="127.0.0.1 keeps it to this machine.")]


@app.command()
def sms(
    port: Port,
    host: Host = "127.0.0.1",
    username: Annotated[str, typer.Option(envvar="SIMULATOR_USERNAME")] = "simulator",
    password: Annotated[str, typer.Option(envvar="SIMULATOR_PASSWORD", show_default=False)] = "simulator",
) -> None:
    """The 131344 SMS gateway: POST /sms, and the control surface under /control."""
    serve(sms_simulator(Login(username, password)), host=host, port=port)


@app.command()
def fcm(port: Port, host: Host = "127.0.0.1") -> None:
    """Firebase Cloud Messaging: the OAuth token and send endpoints, and the control surface under /control."""
    serve(fcm_simulator(), host=host, port=port)


def serve(app: web.Application, *, host: str, port: int) -> None:
    """Serve until a signal says stop; a request in hand has a second to end."""
    web.run_app(app, host=host, port=port, access_log=None, print=None, shutdown_timeout=1.0, handler_cancellation=True)
