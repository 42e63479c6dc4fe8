"""Keys are fetched when needed, kept while the issuer is away, and follow a rotation."""

import asyncio
import json
from pathlib import Path

import pytest
from spacehub.auth.keys import NEW_KEY_EVERY, KeyRing, KeysAway, from_file, from_url, usable_keys
from spacehub.testing.issuing import Issuer
from spacehub.testing.serving import served
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

OLD, NEW = Issuer("old"), Issuer("new", algorithm="ES256")
BOTH = ("RS256", "ES256")


class Endpoint:
    """An issuer's key endpoint that can be changed, counted and taken away; and a clock moved by hand."""

    def __init__(self, *issuers: Issuer) -> None:
        self.document = issuers[0].jwks(*issuers[1:])
        self.away = False
        self.fetches = 0
        self.now = 1000.0
        self.gate = asyncio.Event()
        self.gate.set()

    async def fetch(self) -> bytes:
        self.fetches += 1
        await self.gate.wait()
        if self.away:
            raise KeysAway("away")
        return self.document

    def ring(self) -> KeyRing:
        return KeyRing(self.fetch, algorithms=BOTH, clock=lambda: self.now)


async def test_keys_are_fetched_once_for_many_callers_at_the_same_time() -> None:
    endpoint = Endpoint(OLD)
    ring = endpoint.ring()
    endpoint.gate.clear()

    asking = [asyncio.create_task(ring.key("old")) for _ in range(50)]
    await asyncio.sleep(0)
    endpoint.gate.set()

    assert all(key is not None for key in await asyncio.gather(*asking))
    assert endpoint.fetches == 1


async def test_a_new_key_is_found_at_once_and_unknown_ones_do_not_flood_the_issuer() -> None:
    endpoint = Endpoint(OLD)
    ring = endpoint.ring()
    assert await ring.key("old") is not None
    endpoint.document = OLD.jwks(NEW)

    endpoint.now += NEW_KEY_EVERY
    assert await ring.key("new") is not None
    for number in range(100):
        assert await ring.key(f"invented {number}") is None

    assert endpoint.fetches == 2


async def test_a_caller_that_leaves_does_not_end_the_fetch_of_the_others() -> None:
    endpoint = Endpoint(OLD)
    ring = endpoint.ring()
    endpoint.gate.clear()

    leaving, staying = asyncio.create_task(ring.key("old")), asyncio.create_task(ring.key("old"))
    await asyncio.sleep(0)
    leaving.cancel()
    endpoint.gate.set()

    assert await staying is not None


async def test_keys_once_had_serve_while_the_issuer_is_away() -> None:
    endpoint = Endpoint(OLD)
    ring = endpoint.ring()
    await ring.key("old")
    endpoint.away = True

    for _ in range(20):
        endpoint.now += 3600
        assert await ring.key("old") is not None
        await asyncio.sleep(0)

    assert endpoint.fetches > 1


async def test_a_known_key_is_served_while_the_newer_set_is_still_on_its_way() -> None:
    endpoint = Endpoint(OLD)
    ring = endpoint.ring()
    await ring.key("old")
    endpoint.gate.clear()
    endpoint.now += 3600

    async with asyncio.timeout(1):
        assert await ring.key("old") is not None
    endpoint.gate.set()


async def test_a_withdrawn_key_is_gone_with_the_next_set() -> None:
    endpoint = Endpoint(OLD, NEW)
    ring = endpoint.ring()
    await ring.key("old")
    endpoint.document = NEW.jwks()
    endpoint.now += 3600

    await ring.key("old")
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    assert await ring.key("old") is None


async def test_without_any_keys_nobody_is_judged() -> None:
    endpoint = Endpoint(OLD)
    endpoint.away = True
    ring = endpoint.ring()

    with pytest.raises(KeysAway):
        await ring.key("old")
    with pytest.raises(KeysAway):
        await ring.key("old")
    assert endpoint.fetches == 1

    endpoint.away = False
    endpoint.now += 1
    assert await ring.key("old") is not None


@pytest.mark.parametrize(
    "document",
    [b"", b"null", b"[]", b"{}", b'{"keys": {}}', b'{"keys": [1]}', b'{"keys": []}', b"[" * 100_000, b"\xff"],
    ids=["empty", "null", "list", "object", "keys an object", "a number", "no keys", "nested", "not text"],
)
async def test_a_set_that_cannot_be_read_leaves_the_old_one_in_place(document: bytes) -> None:
    endpoint = Endpoint(OLD)
    ring = endpoint.ring()
    await ring.key("old")
    endpoint.document = document
    endpoint.now += 3600

    await ring.key("old")
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    assert endpoint.fetches == 2
    assert await ring.key("old") is not None


def test_keys_that_must_not_verify_are_passed_over() -> None:
    weak = Issuer("weak", bits=1024)
    entries = [
        OLD.jwk(),
        OLD.jwk(kid="for encryption", use="enc"),
        OLD.jwk(kid="another algorithm", alg="RS512"),
        OLD.jwk(kid="no algorithm of its kind", alg="HS256"),
        OLD.jwk(kid=None),
        OLD.jwk(kid=7),
        OLD.jwk(kid="broken", n="!"),
        weak.jwk(),
        {"kty": "oct", "kid": "secret", "alg": "HS256", "k": "c2VjcmV0"},
        {"kty": "unheard of", "kid": "future"},
        NEW.jwk(),
    ]

    keys = usable_keys(json.dumps({"keys": entries}).encode(), algorithms=BOTH)

    assert set(keys) == {"old", "new"}


async def test_keys_come_over_http_and_from_a_file(tmp_path: Path) -> None:
    async def jwks(_: Request) -> Response:
        return Response(OLD.jwks(), media_type="application/json")

    (tmp_path / "jwks.json").write_bytes(NEW.jwks())

    async with served(Starlette(routes=[Route("/jwks", jwks)])) as url:
        assert await KeyRing(from_url(f"{url}/jwks"), algorithms=BOTH).key("old") is not None
        with pytest.raises(KeysAway, match="404"):
            await from_url(f"{url}/elsewhere")()
    with pytest.raises(KeysAway):
        await from_url(f"{url}/jwks")()
    assert await KeyRing(from_file(tmp_path / "jwks.json"), algorithms=BOTH).key("new") is not None
    with pytest.raises(KeysAway):
        await from_file(tmp_path / "nothing.json")()
