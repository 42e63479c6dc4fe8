"""Secrets are mounted files that a cluster replaces under a running process; the next connection uses the new one."""

from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit
from uuid import uuid4

import asyncpg
import pytest
from pydantic import SecretStr
from pydantic_settings import SettingsConfigDict
from spacehub import database, management
from spacehub.auth.shared_secret import shared_secret
from spacehub.auth.tokens import Unauthorized
from spacehub.confirming import Confirm, Outgoing
from spacehub.errors import Away
from spacehub.permissions import BrokerUser
from spacehub.rabbit import Publisher
from spacehub.settings import MountedSettings
from spacehub.testing.broker import Broker
from spacehub_dev.provisioning.fresh import MakeDatabase, Vhost, drop_users


class Settings(MountedSettings):
    model_config = SettingsConfigDict(env_prefix="TEST_")

    amqp_url: SecretStr
    level: str = "low"


class Mount:
    """A directory as Kubernetes mounts a secret: each name a link by way of `..data`, which is replaced as a whole."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def hold(self, **files: str) -> None:
        version = self.directory / f"..{uuid4().hex}"
        version.mkdir()
        for name, content in files.items():
            (version / name).write_text(f"{content}\n")
            link = self.directory / name
            if not link.is_symlink():
                link.symlink_to(Path("..data") / name)
        draft = self.directory / "..data_tmp"
        draft.symlink_to(version.name)
        draft.replace(self.directory / "..data")


@pytest.fixture
def mount(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mount:
    monkeypatch.setenv("SPACEHUB_SECRETS", str(tmp_path))
    return Mount(tmp_path)


def test_mounted_file_is_read_again_whenever_it_is_asked_for(mount: Mount) -> None:
    mount.hold(test_amqp_url="amqp://old/")
    settings = Settings()
    before = settings.amqp_url.get_secret_value()

    mount.hold(test_amqp_url="amqp://new/")

    assert (before, settings.amqp_url.get_secret_value()) == ("amqp://old/", "amqp://new/")
    assert "new" not in repr(settings) + str(settings.model_dump())


@pytest.mark.parametrize("left", [{}, {"test_amqp_url": ""}], ids=["absent", "empty"])
def test_last_content_stands_while_the_file_has_none(mount: Mount, left: dict[str, str]) -> None:
    mount.hold(test_amqp_url="amqp://old/")
    settings = Settings()

    mount.hold(**left)

    assert settings.amqp_url.get_secret_value() == "amqp://old/"


def test_environment_goes_before_a_mounted_file(mount: Mount, monkeypatch: pytest.MonkeyPatch) -> None:
    mount.hold(test_amqp_url="amqp://file/", test_level="high")
    monkeypatch.setenv("TEST_AMQP_URL", "amqp://variable/")

    settings = Settings()

    assert (settings.amqp_url.get_secret_value(), settings.level) == ("amqp://variable/", "high")


@pytest.fixture
async def prefix(vhost: Vhost) -> AsyncIterator[str]:
    prefix = f"test-{uuid4().hex[:8]}-"
    yield prefix
    await drop_users(vhost.management_url, prefix)


async def test_publisher_connects_with_the_password_as_it_is_now(broker: Broker, prefix: str, mount: Mount) -> None:
    queue = await broker.plain_queue()
    user = BrokerUser("writer", sends=("amq.default",))
    vhost = management.vhost_of(broker.url)

    async def give(password: str) -> None:
        await management.make_users(broker.management_url, [user], {"writer": password}, vhost=vhost, prefix=prefix)

    def url(password: str) -> str:
        place = urlsplit(broker.url)
        return urlunsplit(place._replace(netloc=f"{prefix}writer:{password}@{place.netloc.rpartition('@')[2]}"))

    async def publishes() -> list[Confirm]:
        return await publisher.publish([Outgoing("", queue, b"{}", uuid4().hex)])

    mount.hold(test_amqp_url=url("first"))
    publisher = Publisher(Settings().amqp_url.get_secret_value, name="test: rotating")
    await give("first")
    assert await publishes() == [Confirm.ACKED]

    await give("second")
    assert await publishes() == [Confirm.ACKED], "who is connected stays connected"
    await publisher.close()
    with pytest.raises(Away):
        await publishes()
    mount.hold(test_amqp_url=url("second"))
    assert await publishes() == [Confirm.ACKED]
    await publisher.close()


async def test_pool_connects_with_the_password_as_it_is_now(make_database: MakeDatabase, mount: Mount) -> None:
    role = f"test_{uuid4().hex[:8]}"
    home = await make_database()
    owner = await asyncpg.connect(home)
    await owner.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'first'")
    place = urlsplit(home)

    def url(password: str) -> str:
        return urlunsplit(place._replace(netloc=f"{role}:{quote(password)}@{place.netloc.rpartition('@')[2]}"))

    async def asks() -> int:
        async with database.reading(pool) as connection:
            return int(await connection.fetchval("SELECT 1"))

    mount.hold(test_amqp_url=url("first"))
    async with database.pooled(Settings().amqp_url.get_secret_value, size=1) as pool:
        assert await asks() == 1
        await owner.execute(f"ALTER ROLE {role} PASSWORD 'second'")
        await pool.expire_connections()
        with pytest.raises(Away):
            await asks()
        mount.hold(test_amqp_url=url("second"))
        assert await asks() == 1
    await owner.execute(f"DROP ROLE {role}")
    await owner.close()


async def test_both_secrets_are_taken_while_one_takes_the_place_of_the_other(mount: Mount) -> None:
    mount.hold(test_amqp_url="old-secret")
    authenticate = shared_secret(Settings().amqp_url)

    await authenticate("old-secret")
    mount.hold(test_amqp_url="old-secret new-secret")
    await authenticate("old-secret")
    await authenticate("new-secret")
    mount.hold(test_amqp_url="new-secret")

    for wrong in ("old-secret", "old-secret new-secret", ""):
        with pytest.raises(Unauthorized):
            await authenticate(wrong)
