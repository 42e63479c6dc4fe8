"""The passwords that `spacehub topology users` gives: from the environment or from mounted files, never printed."""

import os
from collections.abc import Iterable, Mapping

import typer

from spacehub.settings import mounted


def variable(user: str) -> str:
    """What the password of a broker's user is called, e.g. `SPACEHUB_PASSWORD_INBOX_API`."""
    return f"SPACEHUB_PASSWORD_{user.upper().replace('-', '_')}"


def passwords(users: Iterable[str]) -> Mapping[str, str]:
    """Each user's password. Ends the command, naming the variables, when some are missing."""
    found = {user: _given(variable(user)) for user in users}
    if missing := [variable(user) for user, password in found.items() if not password]:
        typer.secho(f"Not set: {', '.join(missing)}", fg="red", err=True)
        raise typer.Exit(2)
    return found


def _given(name: str) -> str:
    if told := os.environ.get(name):
        return told
    secret = mounted(name)
    return secret.get_secret_value() if secret else ""
