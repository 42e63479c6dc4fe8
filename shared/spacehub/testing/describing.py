"""A database's tables as PostgreSQL itself describes them, to compare migrations with the tables in the code."""

import asyncpg
from sqlalchemy import MetaData
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from spacehub.database import plain_url

_DESCRIBE = """
SELECT format('%s.%s %s null=%s default=%s generated=%s', class.relname, attname, format_type(atttypid, atttypmod),
              NOT attnotnull, pg_get_expr(adbin, adrelid), attgenerated) AS line
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


async def described(url: str, metadata: MetaData) -> list[str]:
    """Columns, indexes and constraints of the tables that `metadata` names, a line each."""
    connection = await asyncpg.connect(plain_url(url))
    try:
        return [row["line"] for row in await connection.fetch(_DESCRIBE, list(metadata.tables))]
    finally:
        await connection.close()


async def create(url: str, metadata: MetaData) -> None:
    """Make the tables as the code describes them, in an empty database."""
    engine = create_async_engine(
        plain_url(url).replace("postgresql://", "postgresql+asyncpg://", 1), poolclass=NullPool
    )
    async with engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
    await engine.dispose()
