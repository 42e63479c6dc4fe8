"""The migrations and the tables agree, as PostgreSQL itself describes both."""

import asyncpg
from sms_sender.tables import METADATA
from spacehub.database import plain_url
from sqlalchemy.ext.asyncio import create_async_engine

_DESCRIBE = """
SELECT format('%s.%s %s null=%s default=%s', class.relname, attname, format_type(atttypid, atttypmod), NOT attnotnull,
              pg_get_expr(adbin, adrelid)) AS line
FROM pg_attribute JOIN pg_class AS class ON class.oid = attrelid
LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND attnum > 0 AND NOT attisdropped
    AND relname = ANY ($1)
UNION ALL
SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename = ANY ($1)
UNION ALL
SELECT format('%s %s %s', conrelid::regclass, conname, pg_get_constraintdef(oid)) FROM pg_constraint
WHERE conrelid::regclass::text = ANY ($1) AND contype <> 'n'
ORDER BY line"""


async def _described(url: str) -> list[str]:
    connection = await asyncpg.connect(plain_url(url))
    try:
        return [row["line"] for row in await connection.fetch(_DESCRIBE, list(METADATA.tables))]
    finally:
        await connection.close()


async def test_migrated_database_has_the_tables_of_the_code(database_url: str, database: str) -> None:
    engine = create_async_engine(plain_url(database).replace("postgresql://", "postgresql+asyncpg://", 1))
    async with engine.begin() as connection:
        await connection.run_sync(METADATA.create_all)
    await engine.dispose()

    assert await _described(database_url) == await _described(database)
    assert len(METADATA.tables) == 10
