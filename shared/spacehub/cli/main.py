"""The `spacehub` command: for developers of other domains, and for whoever runs the system."""

import typer

from spacehub.cli import dead, keys, publishing, token, topology

app = typer.Typer(
    no_args_is_help=True, pretty_exceptions_enable=False, help="Publish events and look after the broker."
)
app.command("publish")(publishing.publish)
app.command("validate")(publishing.validate)
app.command("token")(token.token)
app.add_typer(topology.app, name="topology")
app.add_typer(dead.app, name="dead")
app.add_typer(keys.app, name="keys")
