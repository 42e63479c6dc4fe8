"""Who a bearer token speaks for: a JWT (RFC 7519) whose signature, times, audience and issuer are verified here."""

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from math import inf
from typing import Any, NamedTuple
from uuid import UUID

import jwt

from spacehub.auth.keys import KeyRing
from spacehub.problems import Problem

LONGEST = 8 * 1024
"""Characters; longer tokens are not looked into."""

REMEMBERED = 4096
"""Tokens whose signature need not be looked at again; beyond that the one verified first is forgotten."""

_FOREVER = 2**53
"""Seconds since 1970: as far as clocks count exactly."""

_REQUIRED = ["exp", "iss", "aud", "sub"]
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE | re.ASCII)


class Unauthorized(Problem):
    """There is no valid token. The answer says what is wrong in a word or two, never why in detail (RFC 6750)."""

    def __init__(self, detail: str = "A bearer token is needed.", *, error: str | None = None) -> None:
        challenge = 'Bearer realm="spacehub"' + (f', error="{error}"' if error else "")
        super().__init__(401, detail, headers={"WWW-Authenticate": challenge})


@dataclass(frozen=True, slots=True)
class Caller:
    """The user a token speaks for, the scopes it grants, and when it ends, in seconds since 1970."""

    user_id: UUID
    scopes: frozenset[str] = field(default_factory=frozenset)
    until: float = field(default=inf, compare=False)


class Verified(NamedTuple):
    """What was found out about a token once, by the key that `key_id` named then."""

    key_id: str
    key: jwt.PyJWK
    caller: Caller


@dataclass(frozen=True, slots=True)
class Verifier:
    """Verifies tokens of one issuer for one audience; the algorithms are those of the key ring, never the token's.

    A token that held is remembered by its digest: at its next call only its end is looked at, and whether the ring
    still has the very key that signed it. A set of keys had anew makes every signature count again.
    """

    keys: KeyRing
    issuer: str
    audience: str
    clock: Callable[[], float] = time.time
    most: int = REMEMBERED
    remembered: dict[bytes, Verified] = field(default_factory=dict, init=False, repr=False, compare=False)

    async def caller(self, token: str) -> Caller:
        """Whom `token` speaks for. Raises Unauthorized, or KeysAway when there are no keys to judge it with."""
        if len(token) > LONGEST:
            raise _invalid("The token is not valid.")
        digest = sha256(token.encode("utf-8", "surrogatepass")).digest()
        known = self.remembered.get(digest)
        key_id = known.key_id if known else _key_id(token)
        key = await self.keys.key(key_id)
        if key is None:
            raise _invalid("The token is not valid.")
        if known is None or known.key is not key:
            known = Verified(key_id, key, self._verified(token, key))
            self._remember(digest, known)
        elif known.caller.until <= self.clock():
            raise _invalid("The token has expired.")
        return known.caller

    def _verified(self, token: str, key: jwt.PyJWK) -> Caller:
        try:
            claims = jwt.decode(
                token,
                key,
                algorithms=[key.algorithm_name],
                audience=self.audience,
                issuer=self.issuer,
                options={"require": _REQUIRED, "verify_iat": False},  # `iat` protects nothing; clocks differ
            )
        except jwt.ExpiredSignatureError:
            raise _invalid("The token has expired.") from None
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError):
            raise _invalid("The token is not valid.") from None
        return _caller(claims)

    def _remember(self, digest: bytes, verified: Verified) -> None:
        self.remembered[digest] = verified
        if len(self.remembered) > self.most:
            del self.remembered[next(iter(self.remembered))]


def _key_id(token: str) -> str:
    """The `kid` of the token's header. Whatever else the header says (`jku`, `x5u`, `jwk`) is not looked at."""
    try:
        kid = jwt.get_unverified_header(token).get("kid")
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
        raise _invalid("The token is not valid.") from None
    if not isinstance(kid, str):
        raise _invalid("The token is not valid.")
    return kid


def _caller(claims: Mapping[str, Any]) -> Caller:
    if not _UUID.fullmatch(claims["sub"]):
        raise _invalid("The token is not valid.")
    scope = claims.get("scope")
    scopes = frozenset(scope.split()) if isinstance(scope, str) else frozenset()
    return Caller(UUID(claims["sub"]), scopes, until=float(min(int(claims["exp"]), _FOREVER)))


def _invalid(detail: str) -> Unauthorized:
    return Unauthorized(detail, error="invalid_token")
