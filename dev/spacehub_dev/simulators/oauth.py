"""Google's OAuth token endpoint for service accounts (RFC 7523): shapes are checked, signatures are not."""

import base64
import json
import time
from urllib.parse import parse_qs
from uuid import uuid4

from aiohttp import web

GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
LIFETIME = 3599
_PREFIX = "ya29.simulated"


async def token(request: web.Request) -> web.Response:
    """`POST /token`: an access token for a JWT assertion that could be a service account's."""
    form = parse_qs((await request.read()).decode("utf-8", errors="replace"))
    if form.get("grant_type") != [GRANT]:
        return _refused("unsupported_grant_type", "Invalid grant_type")
    complaint = _wrong_with(form.get("assertion", [""])[0])
    if complaint:
        return _refused("invalid_grant", f"Invalid JWT: {complaint}")
    access_token = f"{_PREFIX}.{int(time.time()) + LIFETIME}.{uuid4().hex}"
    return web.json_response({"access_token": access_token, "expires_in": LIFETIME, "token_type": "Bearer"})


def is_authorized(request: web.Request) -> bool:
    """Whether the request carries a token of ours that still holds; a simulator that was restarted knows it too."""
    scheme, _, access_token = request.headers.get("Authorization", "").partition(" ")
    prefix, _, rest = access_token.rpartition(f"{_PREFIX}.")
    expires = rest.partition(".")[0]
    return scheme.lower() == "bearer" and not prefix and expires.isdigit() and int(expires) > time.time()


def _wrong_with(assertion: str) -> str | None:
    try:
        header, claims = (json.loads(_decoded(part)) for part in assertion.split(".")[:2])
        signed = bool(_decoded(assertion.split(".")[2]))
    except (ValueError, IndexError):
        return "it must be three base64url parts"
    if not signed or not isinstance(header, dict) or header.get("alg") != "RS256":
        return "it must be signed with RS256"
    if not isinstance(claims, dict) or not all(isinstance(claims.get(name), str) for name in ("iss", "aud", "scope")):
        return "iss, aud and scope must be strings"
    issued, expires = claims.get("iat"), claims.get("exp")
    if not isinstance(issued, int) or not isinstance(expires, int) or not 0 < expires - issued <= 3600:
        return "it must be a short-lived token (60 minutes)"
    if not issued - 300 <= time.time() <= expires + 300:
        return "check your iat and exp values and use a clock with skew to account for clock differences"
    return None


def _decoded(part: str) -> bytes:
    return base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)


def _refused(error: str, description: str) -> web.Response:
    return web.json_response({"error": error, "error_description": description}, status=400)
