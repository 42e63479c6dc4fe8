"""What PostgreSQL and RabbitMQ look like to those who use them, wherever they come from."""

from collections.abc import Callable
from typing import Protocol

Report = Callable[[str], None]
"""Where progress goes, a line at a time."""


class ServerUnavailable(Exception):
    """A server cannot be had in one of the ways tried; the text says why and what to do."""


class NotOurServer(Exception):
    """The server was given by its URL: it is used, never started, stopped or killed."""


class Server(Protocol):
    """A running server. It keeps its port and its data over `kill` and `start`."""

    @property
    def url(self) -> str:
        """Where it takes connections, user and password included."""
        ...

    @property
    def pid(self) -> int | None:
        """Its process, while it runs; None for a server that is not ours."""
        ...

    def start(self) -> None:
        """Start it (again) and return when it takes connections. Raises ServerUnavailable."""
        ...

    def stop(self) -> None:
        """Stop it cleanly, with everything it brought along."""
        ...

    def kill(self) -> None:
        """SIGKILL, as a crash; returns when it is gone."""
        ...

    def suspend(self) -> None:
        """Freeze it: connections stay open, nothing answers."""
        ...

    def resume(self) -> None:
        """Let it go on after `suspend`."""
        ...

    def discard(self) -> None:
        """End it and delete its data; a given server is left alone."""
        ...

    def alive(self) -> bool:
        """Whether its process runs; a given server always counts as alive."""
        ...


class RabbitServer(Server, Protocol):
    """A RabbitMQ with its management plugin."""

    @property
    def management_url(self) -> str:
        """The HTTP API, user and password included, without a trailing slash."""
        ...
