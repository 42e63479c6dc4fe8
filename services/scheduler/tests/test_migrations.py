"""What the migrations make and what `tables` describes are the same."""

from scheduler.tables import METADATA
from spacehub import database as postgresql
from spacehub_dev.provisioning.fresh import MakeDatabase
from sqlalchemy.dialects import registry
from sqlalchemy.schema import CreateIndex, CreateTable, ExecutableDDLElement

DIALECT = registry.load("postgresql")()
CATALOGUE = """
SELECT table_name || '.' || column_name || ' ' || udt_name || ' ' || is_nullable || ' ' || coalesce(column_default, '')
FROM information_schema.columns WHERE table_schema = 'public'
UNION ALL SELECT conrelid::regclass || ' ' || pg_get_constraintdef(oid) FROM pg_constraint
WHERE connamespace = 'public'::regnamespace
UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'"""


async def test_migrations_and_tables_agree(make_database: MakeDatabase, timers_url: str) -> None:
    described_url = await make_database()
    connection = await postgresql.connect(described_url)
    for table in METADATA.sorted_tables:
        statements: list[ExecutableDDLElement] = [CreateTable(table)]
        statements += [CreateIndex(index) for index in table.indexes]
        for statement in statements:
            await connection.execute(str(statement.compile(dialect=DIALECT)))
    await connection.close()

    described, migrated = await catalogue(described_url), await catalogue(timers_url)

    assert described == migrated
    assert len(described) > 30


async def catalogue(url: str) -> set[str]:
    connection = await postgresql.connect(url)
    lines = {row[0] for row in await connection.fetch(CATALOGUE)}
    await connection.close()
    return {line for line in lines if not any(name in line for name in ("outbox", "alembic_version"))}
