"""The keys that tokens are verified with: a JWKS (RFC 7517) from a URL or a file, kept, renewed and rotated."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import httpx
import jwt
import structlog
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from prometheus_client import Counter, Gauge

from spacehub.errors import Away
from spacehub.running import being_cancelled

log = structlog.get_logger()

_FETCHES = Counter("spacehub_jwks_fetches", "Times the issuer's keys were asked for", ["outcome"])
_FETCHED = Gauge("spacehub_jwks_fetched_timestamp_seconds", "When the issuer's keys were last had")

FRESH_FOR = 300.0
"""Seconds until a set is fetched again behind the requests' backs."""

NEW_KEY_EVERY = 10.0
"""Seconds between two fetches that unknown key ids can cause: inventing them does not make us flood the issuer."""

AFTER_FAILURE = 1.0
LARGEST = 256 * 1024
WEAKEST_RSA = 2048

Fetch = Callable[[], Awaitable[bytes]]
"""Brings the JWKS document. Raises KeysAway."""


class KeysAway(Away):
    """No key set could be had, so nobody's token can be judged: not the caller's fault."""


class KeyRing:
    """The issuer's keys by id. Once had, they serve for as long as no newer set can be fetched."""

    def __init__(
        self, fetch: Fetch, *, algorithms: Collection[str], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._fetch = fetch
        self._algorithms = algorithms
        self._clock = clock
        self._keys: Mapping[str, jwt.PyJWK] = {}
        self._tried_at: float | None = None
        self._failed = False
        self._fetching: asyncio.Task[None] | None = None

    async def key(self, kid: str) -> jwt.PyJWK | None:
        """The key called `kid`, None when the issuer has no such key. Raises KeysAway when that cannot be told."""
        if kid in self._keys:
            if self._due(AFTER_FAILURE if self._failed else FRESH_FOR):
                self._renew()
            return self._keys[kid]
        if self._fetching is not None or self._due(AFTER_FAILURE if self._failed else NEW_KEY_EVERY):
            await asyncio.shield(self._renew())
        if kid not in self._keys and self._failed:
            raise KeysAway("jwks: the key set cannot be fetched")
        return self._keys.get(kid)

    def _due(self, after: float) -> bool:
        return self._tried_at is None or self._clock() - self._tried_at >= after

    def _renew(self) -> "asyncio.Task[None]":
        """The one fetch that runs; all who need it wait for the same."""
        if self._fetching is None:
            self._tried_at = self._clock()
            self._fetching = asyncio.create_task(self._fetch_keys())
        return self._fetching

    async def _fetch_keys(self) -> None:
        try:
            self._keys = usable_keys(await self._fetch(), algorithms=self._algorithms)
            self._failed = False
            _FETCHES.labels("had").inc()
            _FETCHED.set_to_current_time()
        except asyncio.CancelledError:
            if being_cancelled():
                raise
            self._failed = True
        except KeysAway as away:
            self._failed = True
            _FETCHES.labels("failed").inc()
            log.warning("keys_not_fetched", reason=str(away), kept=len(self._keys))
        finally:
            self._fetching = None


def usable_keys(document: bytes, *, algorithms: Collection[str]) -> Mapping[str, jwt.PyJWK]:
    """The keys of a JWKS that can verify a signature by one of `algorithms`, by id; the others are passed over.

    Raises KeysAway when there is none: an emptied set is taken for a fault of the issuer.
    """
    try:
        entries = json.loads(document)["keys"]
        keys = {entry["kid"]: key for entry in entries if (key := _usable(entry, algorithms)) is not None}
    except (ValueError, KeyError, TypeError, RecursionError):
        raise KeysAway("jwks: not a key set") from None
    if not keys:
        raise KeysAway("jwks: no usable key in the set")
    return keys


def _usable(entry: Mapping[str, Any], algorithms: Collection[str]) -> jwt.PyJWK | None:
    if not isinstance(entry.get("kid"), str) or entry.get("use", "sig") != "sig" or entry.get("kty") == "oct":
        return None
    try:
        key = jwt.PyJWK.from_dict(dict(entry))
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    if key.algorithm_name not in algorithms:
        return None
    if isinstance(key.key, RSAPublicKey) and key.key.key_size < WEAKEST_RSA:
        return None
    return key


def from_url(url: str, *, timeout: float = 3.0) -> Fetch:
    """Fetches the set over HTTP; no redirects, no proxies, `timeout` seconds for each step."""
    context = httpx.create_ssl_context(trust_env=False)  # reading the certificates takes long: once, not at each fetch

    async def fetch() -> bytes:
        try:
            async with (
                asyncio.timeout(2 * timeout),
                httpx.AsyncClient(timeout=timeout, verify=context, trust_env=False) as client,
                client.stream("GET", url, headers={"Accept": "application/json"}) as answer,
            ):
                if answer.status_code != httpx.codes.OK:
                    raise KeysAway(f"jwks: status {answer.status_code}")
                document = b""
                async for part in answer.aiter_bytes():
                    document += part
                    if len(document) > LARGEST:
                        raise KeysAway(f"jwks: more than {LARGEST} bytes")
                return document
        except (httpx.HTTPError, OSError, TimeoutError) as fault:
            raise KeysAway(f"jwks: {type(fault).__name__}") from fault

    return fetch


def from_file(path: Path) -> Fetch:
    """Reads the set from a file, again and again, so that one mounted from a secret can be rotated."""

    async def fetch() -> bytes:
        try:
            return await asyncio.to_thread(path.read_bytes)
        except OSError as fault:
            raise KeysAway(f"jwks: {type(fault).__name__}") from fault

    return fetch
