"""How one service of ours knows another: a secret both were given, sent as a bearer token."""

import hmac

from pydantic import SecretStr

from spacehub.auth.guard import Authenticate
from spacehub.auth.tokens import Unauthorized


def shared_secret(secret: SecretStr) -> Authenticate:
    """Takes exactly `secret` as it is now, compared in constant time. Whoever has it is one of us and no user.

    It may be several, with blanks between them: any of them is taken, so that it can be changed without a gap.
    """

    async def authenticate(token: str) -> None:
        shown = token.encode()
        matches = [hmac.compare_digest(shown, one.encode()) for one in secret.get_secret_value().split()]
        if not any(matches):
            raise Unauthorized("The secret is not the right one.", error="invalid_token")

    return authenticate
