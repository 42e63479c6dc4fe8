"""The FCM simulator: enough of Firebase Cloud Messaging that the real firebase-admin library works against it."""

import json
from datetime import UTC, datetime
from typing import Annotated
from uuid import uuid4

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from spacehub_dev.simulators import oauth
from spacehub_dev.simulators.control import Control, read_order
from spacehub_dev.simulators.fcm_errors import TokenError, invalid_json, service_error, token_error
from spacehub_dev.simulators.fcm_messages import fault_in, snake_case


class TokenFault(BaseModel):
    """What sending to one token (or installation id) gets, until told otherwise; None: it works again.

    `field` is what INVALID_ARGUMENT blames: by default the token, any other field is a fault of the payload, and an
    empty one leaves the blame out. `retry_after` in seconds.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    error: TokenError | None
    field: str = "message.token"
    retry_after: Annotated[int, Field(ge=0)] | None = None


def fcm_simulator() -> web.Application:
    """The token endpoint, the send endpoint of any project, and the control surface."""
    control = Control()
    faults: dict[str, TokenFault] = {}

    async def send(request: web.Request) -> web.Response:
        return await control.answer(request, accept=accept, fail=service_error)

    async def accept(request: web.Request) -> web.Response:
        if not oauth.is_authorized(request):
            return service_error(401)
        content = await request.read()
        body = _parsed(content)
        if body is None:
            return invalid_json("", "Invalid JSON payload received. Unexpected end of string.")
        plain = snake_case(body)
        assert isinstance(plain, dict)
        refusal = fault_in(plain, size=len(content))
        if refusal is not None:
            return refusal
        fault = faults.get(_target(plain["message"]))
        if fault is not None and fault.error is not None:
            response = token_error(fault.error, field=fault.field)
            if fault.retry_after is not None:
                response.headers["Retry-After"] = str(fault.retry_after)
            return response
        return web.json_response({"name": record(request.match_info["project"], body, plain)})

    def record(project: str, body: dict[str, object], plain: dict[str, object]) -> str:
        if plain.get("validate_only"):
            return f"projects/{project}/messages/fake_message_id"
        name = f"projects/{project}/messages/{uuid4().hex}"
        message = body["message"]
        assert isinstance(message, dict)
        about = {"name": name, "receivedAt": datetime.now(UTC).isoformat()}
        control.accepted.add({**message, "message": message, **about})
        return name

    async def set_fault(request: web.Request) -> web.Response:
        token = request.match_info["token"]
        fault = await read_order(TokenFault, request)
        if fault.error is None:
            faults.pop(token, None)
        else:
            faults[token] = fault
        return web.json_response(fault.model_dump())

    app = web.Application()
    app.add_routes(
        [
            web.post("/token", oauth.token),
            web.post("/v1/projects/{project}/messages:send", send),
            web.put("/control/tokens/{token:.+}", set_fault),
            *control.routes(),
        ]
    )
    app.on_shutdown.append(control.release)
    return app


def _parsed(body: bytes) -> dict[str, object] | None:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def _target(message: object) -> str:
    assert isinstance(message, dict)
    return str(message.get("token") or message.get("fid"))
