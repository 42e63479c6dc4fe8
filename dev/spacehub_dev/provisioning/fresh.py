"""Empty databases and virtual hosts, made in milliseconds on a running server and dropped afterwards."""

import asyncio
import inspect
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import quote, urlsplit, urlunsplit

import asyncpg
import httpx

from spacehub_dev.provisioning.servers import RabbitServer, ServerUnavailable

Migrate = Callable[[str], Awaitable[None] | None]
"""Brings the empty database at a postgresql:// URL to its newest shape. It must close its connections."""


class MakeDatabase(Protocol):
    """Makes a database that is dropped when the test ends."""

    async def __call__(self, migrate: Migrate | None = None) -> str:
        """The URL of a fresh database, empty or brought up to date by `migrate`."""
        ...


class FreshDatabases:
    """Databases on one server. A migration runs once a session; its result is copied as a template (about 50 ms)."""

    def __init__(self, server_url: str) -> None:
        self._server_url = server_url
        self._templates: dict[Migrate, str] = {}
        self._making = asyncio.Lock()

    async def make(self, migrate: Migrate | None = None) -> str:
        """The URL of a fresh database; see MakeDatabase."""
        name = f"spacehub_test_{secrets.token_hex(6)}"
        template = await self._template_for(migrate) if migrate is not None else "template0"
        await self._execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return database_url(self._server_url, name)

    async def drop(self, url: str) -> None:
        """Drop a database made here, also when somebody is still connected to it."""
        name = urlsplit(url).path.lstrip("/")
        await self._execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    async def drop_templates(self) -> None:
        """Drop what the migrations made, at the end of the session."""
        for name in self._templates.values():
            await self.drop(database_url(self._server_url, name))
        self._templates.clear()

    async def _template_for(self, migrate: Migrate) -> str:
        async with self._making:
            if migrate not in self._templates:
                url = await self.make()
                if inspect.iscoroutinefunction(migrate):
                    await migrate(url)
                else:
                    await asyncio.to_thread(migrate, url)
                self._templates[migrate] = urlsplit(url).path.lstrip("/")
            return self._templates[migrate]

    async def _execute(self, statement: str) -> None:
        connection = await asyncpg.connect(self._server_url)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


def database_url(server_url: str, name: str) -> str:
    """The URL of the database called `name` on the same server."""
    return urlunsplit(urlsplit(server_url)._replace(path=f"/{name}"))


@dataclass(frozen=True)
class Vhost:
    """A virtual host of its own on the broker."""

    name: str
    amqp_url: str
    management_url: str


async def make_vhost(server: RabbitServer, *, name: str | None = None) -> Vhost:
    """An empty virtual host in which the server's user may do everything. Raises ServerUnavailable.

    One of the same name that is there already is emptied.
    """
    name = name or f"spacehub-test-{secrets.token_hex(6)}"
    user = urlsplit(server.url).username or "guest"
    everything = {"configure": ".*", "write": ".*", "read": ".*"}
    try:
        async with httpx.AsyncClient(base_url=server.management_url, timeout=60) as client:
            await client.delete(f"/api/vhosts/{name}")
            (await client.put(f"/api/vhosts/{name}")).raise_for_status()
            (await client.put(f"/api/permissions/{name}/{quote(user)}", json=everything)).raise_for_status()
    except httpx.HTTPError as error:
        raise ServerUnavailable(
            f"the broker's management API cannot make a vhost ({type(error).__name__}); "
            "with AMQP_URL, set MANAGEMENT_URL too"
        ) from None
    amqp_url = urlunsplit(urlsplit(server.url)._replace(path=f"/{name}"))
    return Vhost(name, amqp_url, server.management_url)


async def drop_vhost(vhost: Vhost) -> None:
    """Remove the virtual host with its queues; whoever is still connected is cut off."""
    async with httpx.AsyncClient(base_url=vhost.management_url, timeout=60) as client:
        await client.delete(f"/api/vhosts/{vhost.name}")


async def drop_users(management_url: str, prefix: str) -> None:
    """Remove every user whose name begins with `prefix`."""
    async with httpx.AsyncClient(base_url=management_url, timeout=60) as client:
        for user in (await client.get("/api/users")).json():
            if user["name"].startswith(prefix):
                await client.delete(f"/api/users/{quote(user['name'], safe='')}")
