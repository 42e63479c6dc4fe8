"""The command `spacehub-dev`: what the Makefile calls."""

import typer

from spacehub_dev import checking

app = typer.Typer(no_args_is_help=True, add_completion=False)


@app.callback()
def commands() -> None:
    """Boots and checks the whole system on one machine, for development."""


@app.command()
def check() -> None:
    """Formatter, linter, strict types and floors."""
    raise typer.Exit(checking.check())
