"""Stands before an API: nobody gets past without a valid token, and the routes are told who is calling."""

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Request, Security
from fastapi.security import HTTPBearer
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from spacehub.auth.keys import KeysAway
from spacehub.auth.tokens import Caller, Unauthorized
from spacehub.problems import RETRY_AFTER, Problem, response

Authenticate = Callable[[str], Awaitable[Caller | None]]
"""Whom a token speaks for, such as `Verifier.caller`; None for no user. Raises Unauthorized or KeysAway."""

_CALLER = "spacehub.caller"


class Guard:
    """ASGI middleware that answers 401 before a path is matched or a body is read."""

    def __init__(self, app: ASGIApp, *, authenticate: Authenticate) -> None:
        self._app = app
        self._authenticate = authenticate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        try:
            caller = await self._authenticate(bearer_token(scope))
        except KeysAway:
            away = Problem(503, "Please try again in a moment.", headers={"Retry-After": RETRY_AFTER})
            await response(away)(scope, receive, send)
        except HTTPException as refusal:
            await response(refusal)(scope, receive, send)
        else:
            scope[_CALLER] = caller
            await self._app(scope, receive, send)


def bearer_token(scope: Scope) -> str:
    """The token of the one Authorization header. Raises Unauthorized."""
    match Headers(scope=scope).getlist("authorization"):
        case []:
            raise Unauthorized
        case [header]:
            scheme, _, token = header.partition(" ")
            if scheme.lower() == "bearer" and token.strip():
                return token.strip()
    raise Unauthorized(error="invalid_request")


class _Bearer(HTTPBearer):
    """Tells OpenAPI of the token, and the route whom the guard found behind it."""

    async def __call__(self, request: Request) -> Caller:  # type: ignore[override]  # all there is to know by now
        return caller_of(request.scope)


def caller_of(scope: Scope) -> Caller:
    """Who is calling. Raises Unauthorized where no guard stood, or one that knows of no users."""
    caller = scope.get(_CALLER)
    if not isinstance(caller, Caller):
        raise Unauthorized
    return caller


_BEARER = _Bearer(scheme_name="HTTPBearer", bearerFormat="JWT", description="`sub` is the user's UUID")

CurrentCaller = Annotated[Caller, Security(_BEARER)]
"""A route's parameter: who is calling."""


def requires(scope: str) -> Callable[[Caller], Awaitable[Caller]]:
    """A dependency that lets only callers with `scope` pass: `Annotated[Caller, Depends(requires("ops"))]`."""

    async def with_scope(caller: CurrentCaller) -> Caller:
        if scope not in caller.scopes:
            challenge = f'Bearer realm="spacehub", error="insufficient_scope", scope="{scope}"'
            raise Problem(403, f"The scope {scope} is needed.", headers={"WWW-Authenticate": challenge})
        return caller

    return with_scope
