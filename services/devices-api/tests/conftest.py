"""A registry on a real database, the API before it, and somebody to call it."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from devices_api.registry import Registry
from devices_api.routes import internal_api, public_api
from fastapi import FastAPI
from pydantic import SecretStr
from spacehub import migrating
from spacehub.auth.keys import KeyRing
from spacehub.auth.shared_secret import shared_secret
from spacehub.auth.tokens import Verifier
from spacehub.database import open_pool
from spacehub.testing.issuing import AUDIENCE, ISSUER, Issuer
from spacehub_dev.provisioning.fresh import MakeDatabase

MIGRATIONS = Path(__file__).parents[1] / "migrations"
ISSUING = Issuer()
SECRET = "between-our-services"

ClientOf = Callable[[UUID], httpx.AsyncClient]


def migrate(url: str) -> None:
    migrating.upgrade(MIGRATIONS, url)


@pytest.fixture
async def database_url(make_database: MakeDatabase) -> str:
    return await make_database(migrate)


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator["asyncpg.Pool[asyncpg.Record]"]:
    pool = await open_pool(database_url, size=10)
    yield pool
    await pool.close()


@pytest.fixture
def registry(pool: "asyncpg.Pool[asyncpg.Record]") -> Registry:
    return Registry(pool)


@pytest.fixture
def api(registry: Registry) -> FastAPI:
    async def fetch() -> bytes:
        return ISSUING.jwks()

    verifier = Verifier(KeyRing(fetch, algorithms=("RS256",)), ISSUER, AUDIENCE)
    return public_api(authenticate=verifier.caller, registry=registry)


@pytest.fixture
async def client_of(api: FastAPI) -> AsyncIterator[ClientOf]:
    """`client_of(user)` calls the API for that user."""
    transport = httpx.ASGITransport(api)
    clients: list[httpx.AsyncClient] = []

    def make(user_id: UUID) -> httpx.AsyncClient:
        headers = {"Authorization": f"Bearer {ISSUING.token(user_id)}"}
        clients.append(httpx.AsyncClient(transport=transport, base_url="http://devices", headers=headers))
        return clients[-1]

    yield make
    for client in clients:
        await client.aclose()


@pytest.fixture
def user() -> UUID:
    return uuid4()


@pytest.fixture
def client(client_of: ClientOf, user: UUID) -> httpx.AsyncClient:
    return client_of(user)


@pytest.fixture
async def internal(registry: Registry) -> AsyncIterator[httpx.AsyncClient]:
    """Calls the internal API as push-sender does."""
    transport = httpx.ASGITransport(internal_api(authenticate=shared_secret(SecretStr(SECRET)), registry=registry))
    headers = {"Authorization": f"Bearer {SECRET}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://internal", headers=headers) as client:
        yield client
