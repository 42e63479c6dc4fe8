"""Tokens for development and tests, signed with a key that was made on this machine; production has its own issuer."""

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Self
from uuid import UUID

import jwt

VALID_FOR = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Signer:
    """An issuer's private key (a JWK with `kid` and `alg`), and the names that its tokens carry."""

    issuer: str
    audience: str
    key: jwt.PyJWK

    @classmethod
    def read(cls, path: Path) -> Self:
        """The signer in a file `{"issuer", "audience", "key"}`. Raises OSError, ValueError."""
        content = json.loads(path.read_text(encoding="utf-8"))
        return cls(content["issuer"], content["audience"], jwt.PyJWK.from_dict(content["key"]))

    def token(self, user_id: UUID, *, scopes: Iterable[str] = (), valid_for: timedelta = VALID_FOR) -> str:
        """A JWT that speaks for `user_id`, valid from now on."""
        now = int(time.time())
        claims: dict[str, Any] = {
            "iss": self.issuer,
            "aud": self.audience,
            "sub": str(user_id),
            "iat": now,
            "exp": now + int(valid_for.total_seconds()),
        }
        if granted := " ".join(scopes):
            claims["scope"] = granted
        return jwt.encode(claims, self.key.key, algorithm=self.key.algorithm_name, headers={"kid": self.key.key_id})
