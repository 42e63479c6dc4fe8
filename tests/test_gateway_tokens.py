"""The public entry lets nobody pass with a token that is not valid, and shuts nobody out who has a valid one."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from spacehub.auth.key_lines import key_lines, write_key_lines
from spacehub.auth.keys import usable_keys
from spacehub.testing.issuing import AUDIENCE, ISSUER, Issuer
from spacehub.testing.waiting import eventually
from spacehub_dev.provisioning.haproxy import GatewayTokens

from tests.gateway import Apis, Gateway, a_gateway, both_apis, problem

USER = UUID("0b8f5f0e-6f1d-4c0a-9a53-2f0c7f9d1a01")
RSA = Issuer("issuer/2026 first")
MONGOLIAN = Issuer("нэг")
ELLIPTIC = Issuer("second", algorithm="ES256")
STRANGER = Issuer("third")
PUBLIC = [
    "/v2/devices",
    "/v2/devices/x",
    "/v2/notifications",
    "/v2/notifications/stream",
    "/v2/notification-preferences",
]
NOW = int(time.time())
HOURS = 36_000


def know(file: Path, *issuers: Issuer) -> None:
    """Have the gateway know the keys of `issuers`, as `spacehub keys keep` does."""
    first, *others = issuers
    keys = usable_keys(first.jwks(*others), algorithms=("RS256", "ES256"))
    write_key_lines(file, key_lines(keys))


def token(issuer: Issuer, **changes: Any) -> str:
    """A token by `issuer` that outlasts the slowest machine."""
    return issuer.token(USER, **{"exp": NOW + HOURS, **changes})


def part(content: Any) -> str:
    """A part of a token: base64 of `content`, as JSON unless it is bytes or text already."""
    text = content if isinstance(content, bytes | str) else json.dumps(content)
    return base64.urlsafe_b64encode(text if isinstance(text, bytes) else text.encode()).rstrip(b"=").decode()


def signed(claims: str, issuer: Issuer = RSA) -> str:
    """A token whose claims are spelled just so."""
    return jwt.api_jws.encode(claims.encode(), issuer.private, issuer.algorithm, headers={"kid": issuer.kid})


def claims(**changes: Any) -> str:
    return json.dumps({"iss": ISSUER, "aud": AUDIENCE, "sub": str(USER), "exp": NOW + HOURS, **changes})


def with_a_secret(secret: bytes) -> str:
    """A token "signed" with what everybody knows, by an algorithm for secrets."""
    message = f"{part({'alg': 'HS256', 'kid': RSA.kid})}.{part(claims())}"
    return f"{message}.{part(hmac.digest(secret, message.encode(), hashlib.sha256))}"


HEAD, CLAIMS, SIGNATURE = token(RSA).split(".")

VALID = {
    "RS256": token(RSA),
    "ES256": token(ELLIPTIC),
    "one audience of several": token(RSA, aud=["x", "y", AUDIENCE]),
    "one audience of many": token(RSA, aud=["v", "w", "x", "y", "z", AUDIENCE]),
    "valid for ever": token(RSA, exp=2**53),
    "half a second": token(RSA, exp=NOW + HOURS + 0.5),
    "a number in another spelling": signed(claims(exp=0).replace('"exp": 0', f'"exp": {(NOW + HOURS) / 1e9!r}e9')),
    "slashes that are escaped": signed(claims().replace("/", "\\/")),
    "letters that are escaped": signed(claims().replace("spacehub", "\\u0073pacehub")),
    "a key whose name is no ASCII": token(MONGOLIAN),
    "long": token(RSA, groups=["group/" * 20] * 40),
    "not valid before long ago": token(RSA, nbf=NOW - 600),
    "a key that was not seen here yet": token(STRANGER),
}

INVALID = {
    "expired": token(RSA, exp=NOW - 120),
    "expired long ago": token(RSA, exp=1),
    "expired by half a second more": token(RSA, exp=NOW - 120.5),
    "without an end": token(RSA, exp=None),
    "not valid yet": token(RSA, nbf=NOW + HOURS),
    "of another issuer": token(RSA, iss="https://issuer.test.evil"),
    "of nobody": token(RSA, iss=None),
    "for somebody else": token(RSA, aud="spacehub-tests"),
    "for nobody": token(RSA, aud=None),
    "for two others": token(RSA, aud=["x", "y"]),
    "expired, by an unknown key": token(STRANGER, exp=NOW - 120),
    "for somebody else, by an unknown key": token(STRANGER, aud="x"),
    "signed by another key of that name": token(Issuer(RSA.kid)),
    "signed by another kind of key of that name": token(Issuer(RSA.kid, algorithm="ES256")),
    "claims changed": f"{HEAD}.{part(claims(sub='x'))}.{SIGNATURE}",
    "signature changed": f"{HEAD}.{CLAIMS}.{SIGNATURE[:-8]}AAAAAAAA",
    "signature gone": f"{HEAD}.{CLAIMS}.",
    "signature left out": f"{HEAD}.{CLAIMS}",
    "a part too many": f"{HEAD}.{CLAIMS}.{SIGNATURE}.x",
    "alg none": f"{part({'alg': 'none', 'kid': RSA.kid})}.{CLAIMS}.",
    "alg none with a signature": f"{part({'alg': 'none', 'kid': RSA.kid})}.{CLAIMS}.{SIGNATURE}",
    "an algorithm of the same kind": f"{part({'alg': 'RS512', 'kid': RSA.kid})}.{CLAIMS}.{SIGNATURE}",
    "a secret: the public key": with_a_secret(
        RSA.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    ),
    "a secret: nothing": with_a_secret(b""),
    "without a key's name": jwt.encode({"exp": NOW + HOURS}, RSA.private, algorithm="RS256"),
    "a head that is no object": f"{part('[1]')}.{CLAIMS}.{SIGNATURE}",
    "a head that breaks off": f"{part('{')}.{CLAIMS}.{SIGNATURE}",
    "no base64": "%.%.%",
    "three letters": "a.b.c",
    "dots": "." * 3000,
    "60,000 letters": "a" * 60_000,
}

NOT_ONE_BEARER = {
    "none": [],
    "empty": [""],
    "another scheme": ["Basic eDp5"],
    "no scheme": [VALID["RS256"]],
    "no token": ["Bearer"],
    "two": [f"Bearer {VALID['RS256']}", "Bearer x"],
    "the same twice": [f"Bearer {VALID['RS256']}"] * 2,
}


@pytest.fixture(scope="module")
async def apis() -> AsyncIterator[Apis]:
    async with both_apis() as apis:
        yield apis


@pytest.fixture(scope="module")
async def gateway(apis: Apis, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    directory = tmp_path_factory.mktemp("gateway")
    know(directory / "keys", RSA, ELLIPTIC, MONGOLIAN)
    with a_gateway(directory, apis, tokens=GatewayTokens(ISSUER, AUDIENCE, directory / "keys")) as gateway:
        yield await gateway.ready()


async def ask(gateway: Gateway, *authorization: str, path: str = "/v2/devices", method: str = "GET") -> httpx.Response:
    async with gateway.client() as client:
        return await client.request(method, path, headers=[("Authorization", value) for value in authorization])


def unauthorized(answer: httpx.Response, challenge: str) -> None:
    problem(answer, 401)
    assert answer.headers["www-authenticate"] == challenge
    assert answer.json()["title"] == "Unauthorized"


@pytest.mark.parametrize("token", VALID.values(), ids=VALID)
async def test_whoever_may_pass_does(gateway: Gateway, token: str) -> None:
    assert (await ask(gateway, f"Bearer {token}")).status_code == 200


@pytest.mark.parametrize("scheme", ["bearer ", "BEARER ", "Bearer   "])
async def test_the_scheme_may_be_spelled_as_the_apis_allow(gateway: Gateway, scheme: str) -> None:
    assert (await ask(gateway, f"{scheme}{VALID['RS256']}")).status_code == 200


@pytest.mark.parametrize("token", INVALID.values(), ids=INVALID)
async def test_a_token_that_is_not_valid_reaches_nobody(gateway: Gateway, apis: Apis, token: str) -> None:
    before = list(apis.asked)

    answer = await ask(gateway, f"Bearer {token}")

    unauthorized(answer, 'Bearer realm="spacehub", error="invalid_token"')
    assert apis.asked == before


@pytest.mark.parametrize("authorization", NOT_ONE_BEARER.values(), ids=NOT_ONE_BEARER)
@pytest.mark.parametrize("path", PUBLIC)
async def test_every_public_path_asks_for_one_bearer_token(
    gateway: Gateway, apis: Apis, path: str, authorization: list[str]
) -> None:
    before = list(apis.asked)

    answers = [await ask(gateway, *authorization, path=path, method=method) for method in ("GET", "POST", "DELETE")]

    for answer in answers:
        unauthorized(answer, 'Bearer realm="spacehub"')
    assert apis.asked == before


async def test_a_token_is_judged_before_a_body_is_waited_for(gateway: Gateway) -> None:
    head = b"POST /v2/devices HTTP/1.1\r\nHost: x\r\nContent-Length: 9000\r\nConnection: close\r\n\r\n"

    assert (await gateway.raw(head)).startswith(b"HTTP/1.1 401 ")


async def test_a_stream_opens_with_a_valid_token(gateway: Gateway, apis: Apis) -> None:
    apis.inbox.go_on.set()

    answer = await ask(gateway, f"Bearer {VALID['ES256']}", path="/v2/notifications/stream")

    assert answer.headers["content-type"].startswith("text/event-stream")
    assert "id: 2" in answer.text


async def test_the_log_says_why_and_holds_no_token(gateway: Gateway) -> None:
    await ask(gateway, f"Bearer {INVALID['for two others']}")

    await eventually(lambda: [line for line in gateway.lines() if line.get("refused") == "audience"])
    assert CLAIMS not in gateway.log.read_text()


async def test_keys_that_change_are_taken_up_while_it_runs(tmp_path: Path, apis: Apis) -> None:
    keys, renewed = tmp_path / "keys", Issuer("first")
    know(keys, Issuer("first"))
    with a_gateway(tmp_path, apis, tokens=GatewayTokens(ISSUER, AUDIENCE, keys)) as gateway:
        await gateway.ready()
        early = await ask(gateway, f"Bearer {token(renewed)}")
        know(keys, renewed)

        async def is_known() -> bool:
            return (await ask(gateway, f"Bearer {token(renewed)}")).status_code == 200

        await eventually(is_known, within=60)
        forged = await ask(gateway, f"Bearer {token(Issuer('first'))}")

    unauthorized(early, 'Bearer realm="spacehub", error="invalid_token"')
    assert forged.status_code == 401


@pytest.mark.parametrize("content", ["", "no keys at all\n", "6B RS256 AAAA\n", '6B RS256 "; deny\n'])
async def test_keys_that_cannot_be_used_shut_nobody_out(tmp_path: Path, apis: Apis, content: str) -> None:
    keys = tmp_path / "keys"
    keys.write_text(content or "\n")
    with a_gateway(tmp_path, apis, tokens=GatewayTokens(ISSUER, AUDIENCE, keys)) as gateway:
        await gateway.ready()
        passed = await ask(gateway, f"Bearer {token(RSA)}")
        refused = await ask(gateway, f"Bearer {token(RSA, exp=NOW - 120)}")

    assert (passed.status_code, refused.status_code) == (200, 401)


async def test_without_a_file_of_keys_everything_but_signatures_is_judged(tmp_path: Path, apis: Apis) -> None:
    with a_gateway(tmp_path, apis, tokens=GatewayTokens(ISSUER, AUDIENCE)) as gateway:
        await gateway.ready()
        answers = [
            await ask(gateway, f"Bearer {token}")
            for token in (token(STRANGER), token(RSA, aud="x"), INVALID["alg none"])
        ]

    assert [answer.status_code for answer in answers] == [200, 401, 401]


@pytest.mark.parametrize("issuer", ['x" }', "x y", "x\ny", "ө"])
async def test_names_that_would_be_read_as_something_else_are_refused_at_the_start(
    tmp_path: Path, apis: Apis, issuer: str
) -> None:
    with a_gateway(tmp_path, apis, tokens=GatewayTokens(issuer, AUDIENCE)) as gateway:
        await eventually(lambda: "should be of the letters" in gateway.log.read_text())


async def test_a_gateway_that_is_killed_leaves_nothing_behind(tmp_path: Path, apis: Apis) -> None:
    know(tmp_path / "keys", RSA)
    with a_gateway(tmp_path, apis, tokens=GatewayTokens(ISSUER, AUDIENCE, tmp_path / "keys")) as gateway:
        await gateway.ready()
        family = gateway.family()
        gateway.crash()

        assert len(family) > 2
        await eventually(lambda: not any(map(gateway.runs, family)))
