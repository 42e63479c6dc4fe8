"""Every process has the broker as a user of its own, wherever the launcher may make users; elsewhere it says so."""

from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import httpx
import pytest
from spacehub_dev.launcher.backing import Backing
from spacehub_dev.launcher.processes import Surroundings
from spacehub_dev.provisioning.finding import Rabbit
from spacehub_dev.provisioning.fresh import drop_users
from spacehub_dev.provisioning.given import GivenRabbit, GivenServer


@pytest.fixture
async def mere_user(rabbitmq_server: Rabbit) -> AsyncIterator[str]:
    """The management API's login of a user that may look and make nothing."""
    name = f"test-{uuid4().hex[:8]}"
    async with httpx.AsyncClient(base_url=rabbitmq_server.management_url) as client:
        (await client.put(f"/api/users/{name}", json={"password": "secret", "tags": "management"})).raise_for_status()
    yield f"{name}:secret"
    await drop_users(rabbitmq_server.management_url, name)


def backing(server: Rabbit, login: str | None, said: list[str], monkeypatch: pytest.MonkeyPatch) -> Backing:
    """On a broker that was given by URL."""
    management = urlsplit(server.management_url)
    place = management.netloc.rpartition("@")[2]
    monkeypatch.setenv(
        "MANAGEMENT_URL",
        urlunsplit(management._replace(netloc=f"{login}@{place}")) if login else server.management_url,
    )
    postgres = GivenServer("postgresql://somewhere/", "DATABASE_URL")
    return Backing(postgres, GivenRabbit(server.url, "AMQP_URL"), "", True, said.append)


def around(found: Backing, directory: Path) -> Surroundings:
    return Surroundings(
        directory=directory,
        report=print,
        amqp_url="amqp://admin:secret@broker:5672/place",
        management_url="http://admin:secret@broker:15672",
        databases={},
        port=lambda _: 1,
        secret=lambda name: f"secret-of-{name.replace('/', '-')}",
        user_prefix=found.user_prefix,
    )


async def test_administrator_of_a_given_broker_gives_each_process_a_user_that_is_nobody_elses(
    rabbitmq_server: Rabbit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    found = backing(rabbitmq_server, None, said, monkeypatch)

    await found.take_place()

    where = around(found, tmp_path)
    assert where.broker("billing") == "amqp://spacehub-billing:secret-of-broker-billing@broker:5672/place"
    assert where.management("topology") == "http://spacehub-topology:secret-of-broker-topology@broker:15672"
    assert said == []


async def test_user_who_may_make_none_is_told_and_stands_for_everybody(
    rabbitmq_server: Rabbit, mere_user: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    found = backing(rabbitmq_server, mere_user, said, monkeypatch)

    await found.take_place()

    where = around(found, tmp_path)
    assert {where.broker(name) for name in ("billing", "sms-sender")} == {where.amqp_url}
    assert "no administrator" in " ".join(said)
