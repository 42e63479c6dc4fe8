"""The description of the table and the migrations agree, and the database computes the digests we look up."""

import asyncpg
from devices_api.registry import digest
from devices_api.tables import METADATA
from spacehub.testing.describing import create, described

from .test_calls import CURIOUS


async def test_the_migrations_make_what_the_code_describes(database_url: str, database: str) -> None:
    await create(database, METADATA)

    assert await described(database_url, METADATA) == await described(database, METADATA)


async def test_the_databases_digest_is_ours_for_every_token(pool: "asyncpg.Pool[asyncpg.Record]") -> None:
    tokens = [*CURIOUS.values(), "\\", "\\\\", "\\x41", "\\101", "x" * 4096, "🐎" * 4096]

    await pool.executemany(
        "INSERT INTO fcm_tokens (user_id, token, platform) VALUES (gen_random_uuid(), $1, 'ios')",
        [(token,) for token in tokens],
    )

    kept = {row["token"]: row["token_hash"] for row in await pool.fetch("SELECT token, token_hash FROM fcm_tokens")}
    assert kept == {token: digest(token) for token in tokens}
