"""`spacehub keys`: keeps the issuer's public keys in the file from which the gateway takes them."""

import asyncio
from pathlib import Path
from typing import Annotated

import structlog
import typer

from spacehub import health, running
from spacehub.auth.key_lines import key_lines, write_key_lines
from spacehub.auth.keys import Fetch, KeysAway, from_file, from_url, usable_keys
from spacehub.running import Task
from spacehub.telemetry import configure_logs

log = structlog.get_logger()
app = typer.Typer(no_args_is_help=True, help="The issuer's public keys, for the gateway.")

EVERY = 30.0
"""Seconds between two looks at the issuer's keys."""

ALGORITHMS = ("RS256", "ES256")

KeysFile = Annotated[Path, typer.Argument(help="Where the gateway finds them (its JWT_KEYS).", envvar="SPACEHUB_KEYS")]
JwksUrl = Annotated[str | None, typer.Option("--jwks-url", envvar=["SPACEHUB_JWKS_URL"], help="The issuer's key set.")]
JwksFile = Annotated[
    str | None, typer.Option("--jwks-file", envvar=["SPACEHUB_JWKS_FILE"], help="The same as a file, in its place.")
]


@app.callback()
def _group() -> None:
    """Without this, a group of one command would be that command."""


@app.command()
def keep(
    file: KeysFile,
    jwks_url: JwksUrl = None,
    jwks_file: JwksFile = None,
    health_host: Annotated[str, typer.Option(envvar="SPACEHUB_HEALTH_HOST")] = "127.0.0.1",
    health_port: Annotated[
        int | None, typer.Option(envvar="SPACEHUB_HEALTH_PORT", help="Where its pages are; none without it.")
    ] = None,
) -> None:
    """Write them to FILE now and whenever they change, until stopped. Without an answer FILE stays as it is."""
    if bool(jwks_url) == bool(jwks_file):
        typer.secho("Set SPACEHUB_JWKS_URL or SPACEHUB_JWKS_FILE, and not both.", fg="red", err=True)
        raise typer.Exit(2)
    configure_logs("keys keep")
    fetch = from_url(jwks_url) if jwks_url else from_file(Path(jwks_file or ""))
    issuer = Issuer()
    tasks = {"keys": keeping(file, fetch, issuer=issuer)}
    if health_port is not None:
        tasks["health"] = health.serving(health.pages({"issuer": issuer.answers}), host=health_host, port=health_port)
    asyncio.run(running.run(tasks))


class Issuer:
    """Whether the issuer had keys when it was last asked."""

    answered = False

    async def answers(self) -> bool:
        return self.answered


def keeping(file: Path, fetch: Fetch, *, issuer: Issuer, every: float = EVERY) -> Task:
    """A long task that writes `file` whenever the keys are others."""

    async def keep(stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            try:
                keys = usable_keys(await fetch(), algorithms=ALGORITHMS)
                if await asyncio.to_thread(write_key_lines, file, key_lines(keys)):
                    log.info("keys_written", keys=len(keys))
                issuer.answered = True
            except KeysAway as away:
                issuer.answered = False
                log.warning("keys_not_fetched", reason=str(away))
            await running.happens(stopping, within=every)

    return keep
