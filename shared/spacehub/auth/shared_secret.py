"""How one service of ours knows another: a secret both were given, sent as a bearer token."""

import hmac

from pydantic import SecretStr

from spacehub.auth.guard import Authenticate
from spacehub.auth.tokens import Unauthorized


def shared_secret(secret: SecretStr) -> Authenticate:
    """Takes exactly `secret`, compared in constant time. Whoever has it is one of us and no user."""
    expected = secret.get_secret_value().encode()

    async def authenticate(token: str) -> None:
        if not hmac.compare_digest(token.encode(), expected):
            raise Unauthorized("The secret is not the right one.", error="invalid_token")

    return authenticate
