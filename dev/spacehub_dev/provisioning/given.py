"""Servers that the user named by URL (`DATABASE_URL`, `AMQP_URL`): used as they are, never started or stopped."""

import os
import socket
from urllib.parse import urlsplit

from spacehub_dev.provisioning.servers import NotOurServer, ServerUnavailable

DEFAULT_PORTS = {"postgresql": 5432, "postgres": 5432, "amqp": 5672, "amqps": 5671}


class GivenServer:
    """A server at `url`, which came from the environment variable `variable`."""

    def __init__(self, url: str, variable: str) -> None:
        self._url = url
        self._variable = variable

    @property
    def url(self) -> str:
        return self._url

    @property
    def pid(self) -> int | None:
        return None

    def start(self) -> None:
        """Only look whether it is there."""
        parts = urlsplit(self._url)
        address = (parts.hostname or "127.0.0.1", parts.port or DEFAULT_PORTS.get(parts.scheme, 0))
        try:
            socket.create_connection(address, timeout=5).close()
        except OSError as error:
            raise ServerUnavailable(
                f"{self._variable} is set, but nothing answers at {address[0]}:{address[1]} ({error}).\n"
                f"Start that server, or unset {self._variable} to use a private one."
            ) from None

    def stop(self) -> None:
        """Leave it running: it was there before us."""

    def discard(self) -> None:
        """Leave it running: it was there before us."""

    def kill(self) -> None:
        raise NotOurServer(self._variable)

    def suspend(self) -> None:
        raise NotOurServer(self._variable)

    def resume(self) -> None:
        raise NotOurServer(self._variable)

    def alive(self) -> bool:
        return True


class GivenRabbit(GivenServer):
    """A given RabbitMQ. Its management API is at `MANAGEMENT_URL`, or else on the broker's host at port 15672."""

    @property
    def management_url(self) -> str:
        if stated := os.environ.get("MANAGEMENT_URL"):
            return stated.rstrip("/")
        parts = urlsplit(self.url)
        scheme, port = ("https", 15671) if parts.scheme == "amqps" else ("http", 15672)
        credentials = f"{parts.username or 'guest'}:{parts.password or 'guest'}"
        return f"{scheme}://{credentials}@{parts.hostname or '127.0.0.1'}:{port}"
