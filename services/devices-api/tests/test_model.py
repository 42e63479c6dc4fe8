"""Whatever is done to the registry in whatever order, it holds what a plain dictionary would."""

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from urllib.parse import quote
from uuid import UUID

import asyncpg
import httpx
from devices_api.consumers import device_events
from devices_api.registering import resolve
from devices_api.registry import Registry
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from spacehub.events.envelope import Event
from spacehub.events.facts import DeviceDied, DevicesPruneDue, Fact, UserDeleted

from .conftest import ClientOf

USERS = [UUID(int=number + 1) for number in range(2)]
TOKENS = ["a", "../б?#"]
LONG_AGO = timedelta(days=90)

users, tokens = st.sampled_from(USERS), st.sampled_from(TOKENS)


@dataclass(frozen=True)
class Register:
    user: UUID
    token: str
    platform: str
    label: str | None
    says_label: bool


@dataclass(frozen=True)
class Unregister:
    user: UUID
    token: str


@dataclass(frozen=True)
class LookUp:
    user: UUID
    token: str


@dataclass(frozen=True)
class Die:
    """The push that followed one of the look-ups so far found the token dead."""

    which: int


@dataclass(frozen=True)
class GrowOld:
    token: str


@dataclass(frozen=True)
class Prune:
    days: int


@dataclass(frozen=True)
class DeleteUser:
    user: UUID


Deed = Register | Unregister | LookUp | Die | GrowOld | Prune | DeleteUser

registers = st.builds(
    Register,
    users,
    tokens,
    st.sampled_from(["ios", "android", "web"]),
    st.sampled_from([None, "phone", "tablet"]),
    st.booleans(),
)
deeds: st.SearchStrategy[Deed] = st.one_of(
    registers,
    registers,
    st.builds(Unregister, users, tokens),
    st.builds(LookUp, users, tokens),
    st.builds(Die, st.integers(0, 5)),
    st.builds(GrowOld, tokens),
    st.builds(Prune, st.sampled_from([60, 120])),
    st.builds(DeleteUser, users),
)


@dataclass(frozen=True)
class Held:
    user: UUID
    platform: str
    label: str | None
    born: int
    seen: int
    old: bool = False


class Model:
    """The plain dictionary, with numbers for times."""

    def __init__(self) -> None:
        self.held: dict[str, Held] = {}
        self.look_ups: list[tuple[UUID, str, int]] = []
        self.now = 0

    def do(self, deed: Deed) -> int | None:
        """Do it; the status of a registration."""
        self.now += 1
        match deed:
            case Register():
                return self._register(deed)
            case Unregister(user, token) if (held := self.held.get(token)) and held.user == user:
                del self.held[token]
            case LookUp(user, token):
                self.look_ups.append((user, token, self.now))
            case Die(which) if which < len(self.look_ups):
                user, token, at = self.look_ups[which]
                if (held := self.held.get(token)) and held.user == user and held.seen <= at:
                    del self.held[token]
            case GrowOld(token) if token in self.held:
                self.held[token] = replace(self.held[token], old=True, seen=0)
            case Prune(days) if timedelta(days=days) < LONG_AGO:
                self.held = {token: held for token, held in self.held.items() if not held.old}
            case DeleteUser(user):
                self.held = {token: held for token, held in self.held.items() if held.user != user}
        return None

    def _register(self, deed: Register) -> int:
        before = self.held.get(deed.token)
        ours = before if before is not None and before.user == deed.user else None
        label = deed.label if deed.says_label else (ours.label if ours else None)
        born = ours.born if ours else self.now
        self.held[deed.token] = Held(deed.user, deed.platform, label, born, self.now)
        return 200 if ours else 201

    def devices_of(self, user: UUID) -> list[tuple[str, str | None]]:
        mine = sorted((held for held in self.held.values() if held.user == user), key=lambda held: held.born)
        return [(held.platform, held.label) for held in mine]

    def owners(self) -> dict[str, UUID]:
        return {token: held.user for token, held in self.held.items()}


class Real:
    """The same deeds through the API and the consumers."""

    def __init__(self, client_of: ClientOf, registry: Registry, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self._clients: dict[UUID, httpx.AsyncClient] = {user: client_of(user) for user in USERS}
        self._registry = registry
        self._pool = pool
        self._deaths: list[DeviceDied] = []

    async def do(self, deed: Deed) -> int | None:
        match deed:
            case Register():
                body: dict[str, Any] = {"token": deed.token, "platform": deed.platform}
                if deed.says_label:
                    body["deviceLabel"] = deed.label
                return (await self._clients[deed.user].post("/v2/devices", json=body)).status_code
            case Unregister(user, token):
                path = quote(token, safe="").replace(".", "%2E")
                assert (await self._clients[user].delete(f"/v2/devices/{path}")).status_code == 204
            case LookUp(user, token):
                at = (await resolve([user], registry=self._registry)).resolved_at
                self._deaths.append(DeviceDied(token=token, user_id=user, reason="UNREGISTERED", resolved_at=at))
            case Die(which) if which < len(self._deaths):
                await self._hear(self._deaths[which])
            case GrowOld(token):
                await self._pool.execute(
                    "UPDATE fcm_tokens SET last_seen_at = now() - $2::interval WHERE token = $1", token, LONG_AGO
                )
            case Prune(days):
                await self._hear(DevicesPruneDue(older_than_days=days))
            case DeleteUser(user):
                await self._hear(UserDeleted(user_id=user))
        return None

    async def _hear(self, fact: Fact) -> None:
        await device_events(registry=self._registry).handle([Event(id="1", source="/test", data=fact)])

    async def devices_of(self, user: UUID) -> list[tuple[str, str | None]]:
        devices = (await self._clients[user].get("/v2/devices")).json()
        return [(device["platform"], device["deviceLabel"]) for device in devices]

    async def owners(self) -> dict[str, UUID]:
        devices = (await resolve(USERS, registry=self._registry)).devices
        return {address.token: user for user, addresses in devices.items() for address in addresses}


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(done=st.lists(deeds, min_size=1, max_size=25))
async def test_the_registry_holds_what_a_plain_dictionary_would(
    client_of: ClientOf, registry: Registry, pool: "asyncpg.Pool[asyncpg.Record]", done: list[Deed]
) -> None:
    await pool.execute("TRUNCATE fcm_tokens")
    model, real = Model(), Real(client_of, registry, pool)

    for deed in done:
        assert await real.do(deed) == model.do(deed)
        assert await real.owners() == model.owners()

    for user in USERS:
        assert await real.devices_of(user) == model.devices_of(user)
