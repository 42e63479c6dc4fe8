"""What both APIs are configured with to verify tokens."""

from pathlib import Path
from typing import Literal, Self

from pydantic import HttpUrl, model_validator

from spacehub.auth.keys import KeyRing, from_file, from_url
from spacehub.auth.tokens import Verifier
from spacehub.settings import ServiceSettings


class TokenSettings(ServiceSettings):
    """The issuer's keys come from `jwt_jwks_url` or, in development, from `jwt_jwks_file`: exactly one of them."""

    jwt_issuer: str
    jwt_audience: str
    jwt_jwks_url: HttpUrl | None = None
    jwt_jwks_file: Path | None = None
    jwt_algorithms: tuple[Literal["RS256", "ES256"], ...] = ("RS256", "ES256")

    @model_validator(mode="after")
    def _one_source_of_keys(self) -> Self:
        if (self.jwt_jwks_url is None) == (self.jwt_jwks_file is None):
            raise ValueError("set jwt_jwks_url or jwt_jwks_file, and not both")
        return self


def verifier(settings: TokenSettings) -> Verifier:
    """The verifier that `settings` describe; it fetches keys when the first token comes."""
    if settings.jwt_jwks_file is not None:
        fetch = from_file(settings.jwt_jwks_file)
    else:
        fetch = from_url(str(settings.jwt_jwks_url))
    return Verifier(KeyRing(fetch, algorithms=settings.jwt_algorithms), settings.jwt_issuer, settings.jwt_audience)
