"""Phone numbers as they may be kept: a keyed hash to look them up by, and four digits for a person to recognise."""

import hashlib
import hmac
import re
import unicodedata
from dataclasses import dataclass

from pydantic import SecretStr


@dataclass(frozen=True, slots=True)
class PhoneTrace:
    """What a record may know of a phone number."""

    hash: bytes
    last4: str


def phone_trace(phone: str, *, key: SecretStr) -> PhoneTrace:
    """The trace of `phone`: the same for every spelling, since it rests on the last eight digits.

    The hash is HMAC-SHA-256 under `key`: without the key eight digits would be found by trying them all.
    """
    digits = re.sub(r"[^0-9]", "", unicodedata.normalize("NFKC", phone))[-8:]  # full-width digits are digits too
    return PhoneTrace(
        hash=hmac.digest(key.get_secret_value().encode(), digits.encode(), hashlib.sha256), last4=digits[-4:]
    )
