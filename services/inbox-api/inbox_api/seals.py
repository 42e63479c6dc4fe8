"""Seals: what may lie in the database only unread, such as a request's phone number and text (AES-256-GCM)."""

import hashlib
import hmac
import os
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import SecretStr

_NONCE = 12
"""Bytes, drawn anew each time and kept before the sealed text (NIST SP 800-38D)."""


class BrokenSeal(Exception):
    """Sealed under another key or for another delivery, or changed since: what was inside is lost to us."""


class Seal:
    """Seals under `key`. Each delivery has a key of its own, so nonces never run short and nothing can be swapped."""

    def __init__(self, key: SecretStr) -> None:
        self._key = key.get_secret_value().encode()

    def close(self, content: bytes, *, of: UUID) -> bytes:
        """`content`, to be opened for the delivery `of` only."""
        nonce = os.urandom(_NONCE)
        return nonce + self._cipher(of).encrypt(nonce, content, of.bytes)

    def open(self, sealed: bytes, *, of: UUID) -> bytes:
        """What was sealed for the delivery `of`. Raises BrokenSeal."""
        try:
            return self._cipher(of).decrypt(sealed[:_NONCE], sealed[_NONCE:], of.bytes)
        except (InvalidTag, ValueError):
            raise BrokenSeal from None

    def _cipher(self, delivery: UUID) -> AESGCM:
        return AESGCM(hmac.digest(self._key, delivery.bytes, hashlib.sha256))
