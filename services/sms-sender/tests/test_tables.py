"""The migrations and the tables agree, as PostgreSQL itself describes both."""

from sms_sender.tables import METADATA
from spacehub.testing.describing import create, described


async def test_migrated_database_has_the_tables_of_the_code(database_url: str, database: str) -> None:
    await create(database, METADATA)

    assert await described(database_url, METADATA) == await described(database, METADATA)
    assert len(METADATA.tables) == 10
