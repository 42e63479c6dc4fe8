"""The table that `make demo` prints."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Column, Table

from spacehub_dev.demo.comparing import Result
from spacehub_dev.demo.watching import Seen

WIDTH = 190
"""Columns: every text stands on one line, whole."""


def tell(results: Sequence[Result], surplus: Sequence[Seen], *, forgotten: bool, unread: Sequence[int]) -> int:
    """Print what each event caused; 0 when all of it and nothing else arrived, else 1.

    `forgotten`: the device from which the app was removed is gone from the list of its owner. `unread`: the count
    of who had the app open, before reading, after one row and after all.
    """
    console = Console(width=max(Console().width, WIDTH))
    text = Column("text", no_wrap=True)
    table = Table(
        "event", "channel", Column("to", no_wrap=True), text, "ms", title="What each phone, device and inbox received"
    )
    missing = 0
    for result in results:
        short = result.scene.event["type"].removeprefix("mn.spacehub.")
        first = f"{result.scene.title}\n[dim]{short}[/dim]"
        if not result.arrivals:
            table.add_row(first, "", "", "[dim]nothing, as it should be[/dim]", "")
        for expected, arrival in result.arrivals:
            if arrival is None:
                missing += 1
                table.add_row(first, expected.channel, expected.to, f"[red]MISSING:[/red] {expected.text}", "")
            else:
                took = (arrival.at - result.published).total_seconds() * 1000
                table.add_row(first, expected.channel, expected.to, expected.text, f"{took:.0f}")
            first = ""
        table.add_section()
    console.print(table)
    for one in surplus:
        console.print(f"[red]NOT PROMISED:[/red] {one.channel} to {one.to}: {one.text}")
    console.print(
        "The phone from which the app was removed is gone from its owner's devices."
        if forgotten
        else "[red]The phone from which the app was removed is still among its owner's devices.[/red]"
    )
    console.print(f"Unread rows of the one who had the app open: {' → '.join(map(str, unread))}")
    falls = len(unread) == 3 and unread[0] > 1 and list(unread[1:]) == [unread[0] - 1, 0]
    if missing or surplus or not forgotten or not falls:
        console.print(f"[red]{missing} missing, {len(surplus)} too many[/red]")
        return 1
    console.print("[green]Everything arrived, once, and nothing else did.[/green]")
    return 0
