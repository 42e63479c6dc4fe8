"""The processes as they run: configured by the environment alone, between a real broker and a real database."""

import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from spacehub.auth.signing import Signer
from spacehub.confirming import Confirm, Outgoing
from spacehub.events.catalogue import EVENTS_EXCHANGE
from spacehub.events.envelope import Event, write
from spacehub.events.facts import DeviceDied, DevicesPruneDue, Fact, UserDeleted
from spacehub.rabbit import Publisher
from spacehub.testing.broker import lay
from spacehub.testing.waiting import eventually
from spacehub_dev.keys import AUDIENCE, ISSUER, development_keys
from spacehub_dev.provisioning.fresh import Vhost
from spacehub_dev.provisioning.ports import release_port, reserve_port
from spacehub_dev.provisioning.program import Program

from .conftest import SECRET

COMMAND = Path(sys.executable).parent / "devices-api"


@dataclass(frozen=True)
class House:
    """devices-api on this machine: its ports, its environment, its keys."""

    directory: Path
    environment: dict[str, str]
    ports: dict[str, int]
    amqp_url: str

    @contextmanager
    def running(self, verb: str) -> Iterator[Program]:
        log = self.directory / f"{verb}.log"
        program = Program(f"devices-api {verb}", [str(COMMAND), verb], self.directory, log, self.environment)
        program.start()
        try:
            yield program
        finally:
            program.kill()

    def client(self, port: str, token: str) -> httpx.AsyncClient:
        url = f"http://127.0.0.1:{self.ports[port]}"
        return httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {token}"}, trust_env=False)

    def token(self, user: UUID) -> str:
        return Signer.read(development_keys(self.directory).signer).token(user)

    async def ready(self) -> None:
        async with self.client("HEALTH_PORT", "none") as client:

            async def answers() -> bool:
                try:
                    return (await client.get("/readyz")).status_code == 200
                except httpx.TransportError:
                    return False

            await eventually(answers, within=60)

    async def publish(self, *facts: Fact) -> None:
        publisher = Publisher(self.amqp_url, name="test")
        messages = [write(Event(id=str(uuid4()), source="/test", data=fact)) for fact in facts]
        sent = [Outgoing(EVENTS_EXCHANGE, m.routing_key, m.body, m.id, m.content_type) for m in messages]
        assert set(await publisher.publish(sent)) == {Confirm.ACKED}
        await publisher.close()


@pytest.fixture
async def house(database_url: str, vhost: Vhost, tmp_path: Path) -> AsyncIterator[House]:
    await lay(vhost.amqp_url)
    ports = {name: reserve_port() for name in ("HTTP_PORT", "INTERNAL_PORT", "HEALTH_PORT")}
    settings: dict[str, Any] = {
        "DATABASE_URL": database_url,
        "AMQP_URL": vhost.amqp_url,
        "INTERNAL_SECRET": SECRET,
        "JWT_ISSUER": ISSUER,
        "JWT_AUDIENCE": AUDIENCE,
        "JWT_JWKS_FILE": development_keys(tmp_path).jwks,
        **ports,
    }
    environment = {f"DEVICES_API_{name}": str(value) for name, value in settings.items()}
    yield House(tmp_path, {"PATH": os.environ["PATH"], **environment}, ports, vhost.amqp_url)
    for port in ports.values():
        release_port(port)


async def test_serve_answers_on_three_ports_and_ends_on_sigterm(house: House) -> None:
    user = uuid4()

    with house.running("serve") as program:
        await house.ready()
        async with house.client("HTTP_PORT", house.token(user)) as app, house.client("INTERNAL_PORT", SECRET) as ours:
            long = "/ᠮ" * 2048
            registered = await app.post("/v2/devices", json={"token": long, "platform": "ios"})
            resolved = await ours.post("/internal/devices/resolve", json={"userIds": [str(user)]})
            elsewhere = [
                await app.post("/internal/devices/resolve", json={"userIds": [str(user)]}),
                await app.get("/metrics"),
                await ours.get("/v2/devices"),
            ]
            gone = await app.delete("/v2/devices/" + "%2F%E1%A0%AE" * 2048)
            left = await app.get("/v2/devices")
        program.terminate()
        await eventually(lambda: program.exit_code is not None)

    assert registered.status_code == 201
    assert [device["token"] for device in resolved.json()["devices"][str(user)]] == [long]
    assert [answer.status_code for answer in elsewhere] == [404, 404, 404]
    assert (gone.status_code, left.json()) == (204, [])
    assert program.exit_code == 0
    assert long not in program.last_lines(1000)


async def test_consume_takes_away_what_died_and_survives_a_kill(
    house: House, pool: "asyncpg.Pool[asyncpg.Record]"
) -> None:
    leaving, staying = uuid4(), uuid4()
    await pool.executemany(
        "INSERT INTO fcm_tokens (user_id, token, platform, last_seen_at) VALUES ($1, $2, 'web', $3)",
        [
            (leaving, "of a deleted user", datetime.now(UTC)),
            (staying, "dead", datetime(2026, 1, 1, tzinfo=UTC)),
            (staying, "not seen for long", datetime(2020, 1, 1, tzinfo=UTC)),
            (staying, "alive", datetime.now(UTC)),
        ],
    )
    death = DeviceDied(token="dead", user_id=staying, reason="UNREGISTERED", resolved_at=datetime.now(UTC))

    with house.running("consume") as program:
        await house.ready()
        program.kill()
    await house.publish(death, death)
    with house.running("consume"):
        await house.publish(UserDeleted(user_id=leaving), DevicesPruneDue(older_than_days=365), death)
        await eventually(only_alive(pool))


def only_alive(pool: "asyncpg.Pool[asyncpg.Record]") -> Callable[[], Any]:
    async def check() -> bool:
        return [row["token"] for row in await pool.fetch("SELECT token FROM fcm_tokens")] == ["alive"]

    return check


async def test_a_setting_that_is_missing_is_told_by_name_and_no_value_is(house: House) -> None:
    del house.environment["DEVICES_API_JWT_JWKS_FILE"]

    with house.running("serve") as program:
        await eventually(lambda: program.exit_code is not None)

    assert program.exit_code not in (0, -signal.SIGKILL)
    assert "jwt_jwks_url or jwt_jwks_file" in program.last_lines()
    assert SECRET not in program.last_lines(100)
