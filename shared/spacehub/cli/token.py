"""`spacehub token`: a JWT that the development system running here accepts."""

import sys
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from spacehub.auth.signing import Signer

SIGNER = Path(".run/keys/signer.json")


def token(
    user_id: Annotated[UUID, typer.Argument(help="The user that the token speaks for.")],
    scope: Annotated[list[str] | None, typer.Option("--scope", help="A scope to grant; may be repeated.")] = None,
    signer: Annotated[
        Path | None,
        typer.Option(envvar="SPACEHUB_SIGNER", help=f"The issuer's key; without it, {SIGNER}."),
    ] = None,
) -> None:
    """Print a JWT that speaks for USER_ID, valid for 24 hours."""
    try:
        issuer = Signer.read(signer or _signer_here())
    except (OSError, ValueError, KeyError):
        typer.secho("No development key: start `make run` here once, or pass --signer.", fg="red", err=True)
        raise typer.Exit(2) from None
    typer.echo(issuer.token(user_id, scopes=scope or ()))


def _signer_here() -> Path:
    """In the current directory, or else beside the `.venv` that this command comes from."""
    return SIGNER if SIGNER.exists() else Path(sys.prefix).parent / SIGNER
