"""Migrations run once each, one process at a time, and all or nothing."""

import asyncio
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory
from spacehub import database, migrating
from spacehub.testing.programs import program
from spacehub.testing.waiting import eventually
from spacehub_dev.provisioning.fresh import MakeDatabase

MIGRATE = Path(__file__).parent / "programs" / "migrate.py"
VERSION = """
from alembic import op
revision, down_revision = "{number}", {before}
def upgrade() -> None:
    op.execute("{statement}")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A service's folder of migrations with one version."""
    (tmp_path / "versions").mkdir()
    (tmp_path / "env.py").write_text("from spacehub.migrating import run_environment\nrun_environment()\n")
    add(tmp_path, 1, "CREATE TABLE bills (id text)")
    return tmp_path


def add(folder: Path, number: int, statement: str) -> None:
    before = repr(str(number - 1)) if number > 1 else None
    version = VERSION.format(number=number, before=before, statement=statement)
    (folder / "versions" / f"{number}.py").write_text(version)


async def migrate(folder: Path, url: str) -> None:
    await asyncio.to_thread(migrating.upgrade, folder, url)


async def columns(url: str) -> list[str]:
    connection = await database.connect(url)
    found = await connection.fetch("SELECT column_name FROM information_schema.columns WHERE table_name = 'bills'")
    await connection.close()
    return sorted(row["column_name"] for row in found)


async def test_new_versions_are_added_to_the_old_ones(make_database: MakeDatabase, folder: Path) -> None:
    url = await make_database()

    await migrate(folder, url)
    add(folder, 2, "ALTER TABLE bills ADD COLUMN amount bigint")
    await migrate(folder, url)
    await migrate(folder, url)

    assert await columns(url) == ["amount", "id"]


async def test_two_processes_that_migrate_at_once_take_turns(make_database: MakeDatabase, folder: Path) -> None:
    url = await make_database()
    other = await database.connect(url)

    await other.execute("SELECT pg_advisory_lock($1)", migrating.LOCK)
    async with program(MIGRATE, str(folder), url) as one, program(MIGRATE, str(folder), url) as two:
        await eventually(lambda: other.fetchval("SELECT count(*) = 2 FROM pg_locks WHERE NOT granted"))
        await other.execute("SELECT pg_advisory_unlock($1)", migrating.LOCK)
        codes = [await process.ends() for process in (one, two)]
    await other.close()

    assert codes == [0, 0]
    assert await columns(url) == ["id"]


async def test_failing_version_leaves_nothing_behind(make_database: MakeDatabase, folder: Path) -> None:
    url = await make_database()
    add(folder, 2, "ALTER TABLE nowhere ADD COLUMN amount bigint")

    with pytest.raises(Exception, match="nowhere"):
        await migrate(folder, url)

    assert await columns(url) == []


async def test_who_waits_goes_on_when_the_newest_version_is_there_and_changes_nothing(
    make_database: MakeDatabase, folder: Path
) -> None:
    url = await make_database()
    await migrate(folder, url)
    versions = add_and_read(folder, 2, "ALTER TABLE bills ADD COLUMN amount bigint")

    waiting = asyncio.create_task(migrating.reached(versions, url, every=0.02))
    looked = await asyncio.wait([waiting], timeout=0.3)
    before = await columns(url)
    await migrate(folder, url)
    await asyncio.wait_for(waiting, 30)

    assert looked[1] == {waiting}
    assert before == ["id"]


async def test_who_waits_looks_again_at_an_empty_database_and_at_one_that_is_away(
    make_database: MakeDatabase, folder: Path
) -> None:
    url = await make_database()
    versions = ScriptDirectory(str(folder))

    waiting = [
        asyncio.create_task(migrating.reached(versions, place, every=0.02))
        for place in (url, "postgresql://nobody@127.0.0.1:1/nothing")
    ]
    _, still = await asyncio.wait(waiting, timeout=0.3)
    for task in waiting:
        task.cancel()

    assert still == set(waiting)


async def test_an_older_program_runs_with_a_newer_schema(make_database: MakeDatabase, folder: Path) -> None:
    url = await make_database()
    older = ScriptDirectory(str(folder))
    list(older.walk_revisions())
    add(folder, 2, "ALTER TABLE bills ADD COLUMN amount bigint")
    await migrate(folder, url)

    await asyncio.wait_for(migrating.reached(older, url), 30)


def add_and_read(folder: Path, number: int, statement: str) -> ScriptDirectory:
    add(folder, number, statement)
    return ScriptDirectory(str(folder))
