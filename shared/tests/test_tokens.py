"""Only a token of our issuer, for us, in its time, signed by its key, speaks for anybody."""

import base64
import json
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from spacehub.auth.keys import FRESH_FOR, Fetch, KeyRing
from spacehub.auth.tokens import Unauthorized, Verifier
from spacehub.testing.issuing import AUDIENCE, ISSUER, Issuer
from spacehub.testing.waiting import eventually

USER = UUID("5a7ab3b0-0000-4000-8000-0000000000aa")
OURS, ELLIPTIC, STRANGER = Issuer("ours"), Issuer("elliptic", algorithm="ES256"), Issuer("ours")


def verifier(*issuers: Issuer, algorithms: tuple[str, ...] = ("RS256", "ES256")) -> Verifier:
    first, *others = issuers or (OURS, ELLIPTIC)

    async def fetch() -> bytes:
        return first.jwks(*others)

    return Verifier(KeyRing(fetch, algorithms=algorithms), ISSUER, AUDIENCE)


def keys_of(issuer: Issuer) -> Fetch:
    async def fetch() -> bytes:
        return issuer.jwks()

    return fetch


async def renewed(judge: Verifier) -> None:
    """Once the ring has fetched behind the requests' backs."""
    before = await judge.keys.key("ours")
    await eventually(lambda: newer(judge, before))


async def newer(judge: Verifier, than: object) -> bool:
    return await judge.keys.key("ours") is not than


def handmade(header: dict[str, Any], signature: bytes = b"") -> str:
    now = int(time.time())
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": str(USER), "exp": now + 60}
    parts = [json.dumps(header).encode(), json.dumps(claims).encode(), signature]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def signed_with_the_public_key_as_secret() -> str:
    """CVE-2016-10555 and its kin: HS256 under what everybody knows."""
    import hashlib
    import hmac

    pem = OURS.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    unsigned = handmade({"alg": "HS256", "typ": "JWT", "kid": "ours"}).rstrip(".")
    signature = hmac.new(pem, unsigned.encode(), hashlib.sha256).digest()
    return f"{unsigned}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def with_another_payload() -> str:
    header, _, signature = OURS.token(USER).split(".")
    return ".".join([header, OURS.token("5a7ab3b0-0000-4000-8000-0000000000bb").split(".")[1], signature])


@pytest.mark.parametrize("issuer", [OURS, ELLIPTIC], ids=["RS256", "ES256"])
async def test_a_token_of_the_issuer_speaks_for_its_subject(issuer: Issuer) -> None:
    caller = await verifier().caller(issuer.token(USER, scope="ops read"))

    assert caller.user_id == USER
    assert caller.scopes == {"ops", "read"}


async def test_one_audience_among_several_is_enough() -> None:
    assert (await verifier().caller(OURS.token(USER, aud=["others", AUDIENCE]))).user_id == USER


WRONG: dict[str, Callable[[], str]] = {
    "empty": lambda: "",
    "no token at all": lambda: "hello",
    "two parts": lambda: "a.b",
    "not base64": lambda: "ä.ö.ü",
    "a header that is a list": lambda: "W10.e30.",
    "a header nested without end": lambda: base64.urlsafe_b64encode(b"[" * 4000).rstrip(b"=").decode() + ".e30.AAAA",
    "far too long": lambda: OURS.token(USER, padding="x" * 10_000),
    "expired": lambda: OURS.token(USER, exp=int(time.time()) - 1),
    "not valid yet": lambda: OURS.token(USER, nbf=int(time.time()) + 600),
    "foreign audience": lambda: OURS.token(USER, aud="somebody-else"),
    "foreign issuer": lambda: OURS.token(USER, iss="https://elsewhere.test"),
    "no exp": lambda: OURS.token(USER, exp=None),
    "no aud": lambda: OURS.token(USER, aud=None),
    "no iss": lambda: OURS.token(USER, iss=None),
    "no sub": lambda: OURS.token(USER, sub=None),
    "exp that is no number": lambda: OURS.token(USER, exp="tomorrow"),
    "exp without end": lambda: OURS.token(USER, exp=float("inf")),
    "sub that is no UUID": lambda: OURS.token("admin"),
    "sub in braces": lambda: OURS.token(f"{{{USER}}}"),
    "sub with a line end": lambda: OURS.token(f"{USER}\n"),
    "a stranger's signature under our key's id": lambda: STRANGER.token(USER),
    "a key id nobody knows": lambda: OURS.token(USER, headers={"kid": "../../dev/null"}),
    "another key's id": lambda: OURS.token(USER, headers={"kid": "elliptic"}),
    "no key id": lambda: OURS.token(USER, headers={"kid": None}),
    "a critical header we do not know": lambda: OURS.token(USER, headers={"crit": ["exp"], "exp": 1}),
    "a payload under another's signature": with_another_payload,
    "unsigned, alg none": lambda: handmade({"alg": "none", "kid": "ours"}),
    "unsigned, alg None": lambda: handmade({"alg": "None", "kid": "ours"}),
    "unsigned, alg RS256": lambda: handmade({"alg": "RS256", "kid": "ours"}),
    "no alg": lambda: handmade({"kid": "ours"}, b"signature"),
    "a key id that is a list": lambda: handmade({"alg": "RS256", "kid": ["ours"]}, b"signature"),
    "a null key id": lambda: handmade({"alg": "RS256", "kid": None}, b"signature"),
    "HS256 with the public key as its secret": signed_with_the_public_key_as_secret,
    "another hash than the key's": lambda: jwt.encode(
        {"iss": ISSUER, "aud": AUDIENCE, "sub": str(USER), "exp": int(time.time()) + 60},
        OURS.private,
        algorithm="RS512",
        headers={"kid": "ours"},
    ),
    "a key brought along": lambda: STRANGER.token(
        USER, headers={"jwk": STRANGER.jwk(), "jku": "http://127.0.0.1:1/keys", "kid": "ours"}
    ),
}


@pytest.mark.parametrize("token", WRONG.values(), ids=WRONG.keys())
async def test_a_token_with_anything_wrong_speaks_for_nobody(token: Callable[[], str]) -> None:
    with pytest.raises(Unauthorized) as refusal:
        await verifier().caller(token())

    assert refusal.value.status_code == 401
    assert str((refusal.value.headers or {})["WWW-Authenticate"]).startswith("Bearer ")


async def test_an_algorithm_that_is_not_allowed_is_refused_also_from_a_known_key() -> None:
    with pytest.raises(Unauthorized):
        await verifier(OURS, ELLIPTIC, algorithms=("RS256",)).caller(ELLIPTIC.token(USER))


async def test_a_token_seen_before_ends_on_time() -> None:
    now = time.time()
    judge = Verifier(KeyRing(keys_of(OURS), algorithms=("RS256",)), ISSUER, AUDIENCE, clock=lambda: now)
    token = OURS.token(USER, exp=int(now) + 60)
    await judge.caller(token)

    now = int(now) + 59.9
    still = await judge.caller(token)
    now = int(now) + 1.0
    with pytest.raises(Unauthorized, match="expired"):
        await judge.caller(token)

    assert still.user_id == USER


@pytest.mark.parametrize("successor", [ELLIPTIC, STRANGER], ids=["the key is withdrawn", "another under its name"])
async def test_a_token_seen_before_does_not_outlive_its_key(successor: Issuer) -> None:
    issuers, now = [OURS], 0.0

    async def fetch() -> bytes:
        return issuers[0].jwks()

    judge = Verifier(KeyRing(fetch, algorithms=("RS256", "ES256"), clock=lambda: now), ISSUER, AUDIENCE)
    token = OURS.token(USER)
    await judge.caller(token)
    issuers[0], now = successor, FRESH_FOR
    await renewed(judge)

    with pytest.raises(Unauthorized):
        await judge.caller(token)


async def test_a_copy_of_a_token_seen_before_speaks_for_nobody_once_it_differs() -> None:
    judge = verifier()
    token = OURS.token(USER)
    await judge.caller(token)

    for copy in (token[:-6] + "AAAAAA", token.rpartition(".")[0] + ".", token + "=", " " + token):
        with pytest.raises(Unauthorized):
            await judge.caller(copy)


async def test_few_tokens_are_remembered_and_by_their_digests_only() -> None:
    judge = Verifier(KeyRing(keys_of(OURS), algorithms=("RS256",)), ISSUER, AUDIENCE, most=2)
    tokens = [OURS.token(USER, exp=int(time.time()) + 60 + number) for number in range(3)]

    callers = [await judge.caller(token) for token in [*tokens, *tokens]]

    assert {caller.user_id for caller in callers} == {USER}
    assert {len(digest) for digest in judge.remembered} == {32}
    assert len(judge.remembered) == 2
