"""An issuer of tokens for tests: keys made on the spot, and tokens with anything wrong that a test wishes."""

import json
import time
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

ISSUER = "https://issuer.test"
AUDIENCE = "spacehub-test"


class Issuer:
    """One key pair under one `kid`, RS256 or ES256."""

    def __init__(self, kid: str = "first", *, algorithm: str = "RS256", bits: int = 2048) -> None:
        self.kid = kid
        self.algorithm = algorithm
        self.private: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
        if algorithm == "RS256":
            self.private = rsa.generate_private_key(public_exponent=65537, key_size=bits)
        else:
            self.private = ec.generate_private_key(ec.SECP256R1())

    def jwk(self, **changes: Any) -> dict[str, Any]:
        """The public key; `changes` replace or, when None, remove fields."""
        public = self.private.public_key()
        if isinstance(public, rsa.RSAPublicKey):
            fields = RSAAlgorithm.to_jwk(public, as_dict=True)
        else:
            fields = ECAlgorithm.to_jwk(public, as_dict=True)
        return _changed({**fields, "kid": self.kid, "alg": self.algorithm, "use": "sig"}, changes)

    def jwks(self, *others: "Issuer") -> bytes:
        """The key set document with this key and those of `others`."""
        return json.dumps({"keys": [issuer.jwk() for issuer in (self, *others)]}).encode()

    def token(self, user_id: UUID | str, *, headers: Mapping[str, Any] | None = None, **changes: Any) -> str:
        """A token for `user_id`, valid for a minute; `changes` replace or, when None, remove claims."""
        now = int(time.time())
        claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": str(user_id), "iat": now, "exp": now + 60}
        head = _changed({"kid": self.kid}, headers or {})
        return jwt.encode(_changed(claims, changes), self.private, algorithm=self.algorithm, headers=head)


def _changed(fields: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**fields, **changes}.items() if value is not None}
