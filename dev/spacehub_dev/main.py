"""The command `spacehub-dev`: what the Makefile calls."""

from pathlib import Path
from typing import Annotated

import typer

from spacehub_dev import checking
from spacehub_dev.keys import development_keys, service_account
from spacehub_dev.launcher import running
from spacehub_dev.simulators import command

app = typer.Typer(no_args_is_help=True, add_completion=False)
app.add_typer(command.app, name="simulate")


@app.callback()
def commands() -> None:
    """Boots and checks the whole system on one machine, for development."""


@app.command()
def check() -> None:
    """Formatter, linter, strict types, floors and manifests."""
    raise typer.Exit(checking.check())


@app.command()
def manifests() -> None:
    """Check what deploy/k8s would send to a cluster: fields, custom resources, and what is unsafe."""
    from spacehub_dev.cluster import checking as cluster  # the simulators start by this command too and need none of it

    raise typer.Exit(cluster.check())


@app.command()
def cluster_secrets() -> None:
    """Print every Secret of the development overlay, made up, for `kubectl apply -f -`; once for each cluster."""
    from spacehub_dev.cluster import secrets

    typer.echo(secrets.manifest())


@app.command()
def run() -> None:
    """Boot the whole system and keep it running until Ctrl-C."""
    raise typer.Exit(running.run())


@app.command()
def demo() -> None:
    """Boot an empty system, publish the sample events, show what each phone, device and inbox received, stop."""
    raise typer.Exit(running.demo())


@app.command()
def documents() -> None:
    """Write the contract documents, the page of metrics, the dashboard and the cluster's alert rules again."""
    from spacehub_dev.documents import writing  # the simulators start by this command too and need no API

    for name in writing.write():
        typer.echo(f"{name}")


@app.command()
def keys(
    directory: Annotated[Path, typer.Argument(help="They go into its folder keys.")],
    token_uri: Annotated[str, typer.Option(help="The token endpoint of the FCM simulator.")],
) -> None:
    """Make the issuer's keys, if there are none, and a service account for the FCM simulator."""
    development_keys(directory)
    service_account(directory, token_uri=token_uri)
