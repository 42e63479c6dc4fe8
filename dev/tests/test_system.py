"""A system of stand-ins on the session's servers: supervised, told in endpoints.json, refused twice, stopped whole."""

import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import psutil
import pytest
from spacehub_dev.launcher import databases
from spacehub_dev.launcher.locking import AlreadyRunning
from spacehub_dev.launcher.starting import SystemFailed
from spacehub_dev.launcher.supervising import until
from spacehub_dev.launcher.system import System, running_system
from spacehub_dev.provisioning.finding import Postgres, Rabbit
from spacehub_dev.testing.standin_system import standins


@pytest.fixture
def given_servers(postgres_server: Postgres, rabbitmq_server: Rabbit, monkeypatch: pytest.MonkeyPatch) -> None:
    """The session's servers, given as a user would give servers of his own."""
    monkeypatch.setenv("DATABASE_URL", postgres_server.url)
    monkeypatch.setenv("AMQP_URL", rabbitmq_server.url)
    monkeypatch.setenv("MANAGEMENT_URL", rabbitmq_server.management_url)


@asynccontextmanager
async def small_system(directory: Path, *, manner: str = "", said: list[str] | None = None) -> AsyncIterator[System]:
    report = said.append if said is not None else print
    async with running_system(
        directory, report=report, label="standin", keep_data=False, make_plan=standins(manner)
    ) as system:
        yield system


@pytest.mark.usefixtures("given_servers")
async def test_a_killed_process_comes_back_and_the_file_tells_its_new_pid(tmp_path: Path) -> None:
    async with small_system(tmp_path) as system:
        before = told(tmp_path)["processes"]

        os.kill(before["postman consume"], signal.SIGKILL)

        assert await until(lambda: told(tmp_path)["processes"] != before, within=20)
        after = told(tmp_path)["processes"]
        assert after["postman consume"] != before["postman consume"]
        assert after["postman forward"] == before["postman forward"]
        assert system.programs["postman consume"].pid == after["postman consume"]


@pytest.mark.usefixtures("given_servers")
async def test_nothing_of_ours_runs_once_the_block_has_ended(tmp_path: Path, rabbitmq_server: Rabbit) -> None:
    async with small_system(tmp_path) as system:
        pids = list(system.endpoints.processes.values())
        assert all(psutil.pid_exists(pid) for pid in pids)

    assert not any(psutil.pid_exists(pid) for pid in pids)
    assert not (tmp_path / "endpoints.json").exists()
    assert rabbitmq_server.alive()


@pytest.mark.usefixtures("given_servers")
async def test_a_second_launcher_is_refused_and_harms_nothing(tmp_path: Path) -> None:
    async with small_system(tmp_path):
        before = told(tmp_path)

        with pytest.raises(AlreadyRunning, match=str(os.getpid())):
            async with small_system(tmp_path):
                pass

        assert told(tmp_path) == before


@pytest.mark.usefixtures("given_servers")
async def test_a_process_that_dies_at_start_is_told_with_the_end_of_its_log(tmp_path: Path) -> None:
    said: list[str] = []

    with pytest.raises(ExceptionGroup) as failure:
        async with small_system(tmp_path, manner="dies", said=said):
            pass

    assert failure.group_contains(SystemFailed, match="postman forward does not stay up")
    assert any("no such queue: letters" in line for line in said)


@pytest.mark.usefixtures("given_servers")
async def test_databases_on_a_given_server_have_our_prefix(tmp_path: Path, postgres_server: Postgres) -> None:
    async with small_system(tmp_path) as system:
        urls = system.endpoints.databases
        connection = await asyncpg.connect(urls["sms"])
        name = await connection.fetchval("SELECT current_database()")
        await connection.close()

    assert name == "spacehub_standin_sms"
    assert sorted(urls) == sorted(databases.NAMES)
    await databases.drop_all(postgres_server.url, prefix="spacehub_standin_")


@pytest.mark.usefixtures("given_servers")
async def test_a_labelled_system_takes_a_vhost_of_its_own_on_a_given_broker(
    tmp_path: Path, rabbitmq_server: Rabbit
) -> None:
    async with small_system(tmp_path) as system:
        assert system.endpoints.amqp_url == rabbitmq_server.url.rstrip("/") + "/spacehub-standin"


def told(directory: Path) -> dict[str, dict[str, int]]:
    content: dict[str, dict[str, int]] = json.loads((directory / "endpoints.json").read_text())
    return content
