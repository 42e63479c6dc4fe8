"""The table of URLs that `make run` prints: what a person would open or connect to."""

from rich.console import Console
from rich.table import Table

from spacehub_dev.launcher.system import System

NARROWEST = 140
"""Columns, when the output is no terminal: a URL that is cut cannot be copied."""


def show(system: System) -> None:
    """Print where everything in `system` is."""
    where = system.endpoints
    table = Table(title="Spacehub Notify", title_justify="left")
    table.add_column("what")
    table.add_column("where", overflow="fold")
    table.add_row("RabbitMQ", where.amqp_url)
    table.add_row("RabbitMQ management", where.management_url)
    for name, url in where.urls.items():
        table.add_row(name.removesuffix("_url").replace("_", " "), url)
    for name, url in where.databases.items():
        table.add_row(f"database {name}", url)
    for spec in system.plan.processes:
        pages = f"http://127.0.0.1:{spec.port}/metrics" if spec.ready_path == "/readyz" and spec.port else ""
        table.add_row(spec.name, f"pid {where.processes.get(spec.name, 'none')}  {pages}")
    table.add_row("logs", str(system.directory / "logs"))
    console = Console()
    console.width = max(console.width, NARROWEST)
    console.print(table)
