"""The 131344 simulator: the gateway as its clients see it, with every fault on demand."""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import parse_qsl
from uuid import uuid4

from aiohttp import web

from spacehub_dev.simulators.control import Control

_FORM = "application/x-www-form-urlencoded"
_FAULTS = {401: "AUTH", 429: "TOO_MANY_REQUESTS", 500: "INTERNAL", 503: "UNAVAILABLE"}


@dataclass(frozen=True)
class Login:
    """The one account that the simulator knows."""

    username: str
    password: str = field(repr=False)


def sms_simulator(login: Login) -> web.Application:
    """`POST /sms` and the control surface. A number is good when it is `976` and 8 digits."""
    control = Control()

    async def sms(request: web.Request) -> web.Response:
        return await control.answer(request, accept=accept, fail=lambda status: _error(status, _FAULTS[status]))

    async def accept(request: web.Request) -> web.Response:
        form = await _form(request)
        if (form.get("username"), form.get("password")) != (login.username, login.password):
            return _error(401, "AUTH")
        if not re.fullmatch("976[0-9]{8}", form.get("to", "")):
            return _error(400, "INVALID_TO")
        if not (form.get("from") and form.get("text")):
            return _error(400, "INVALID_REQUEST")
        message_id = uuid4().hex
        control.accepted.add(
            {
                "to": form["to"],
                "from": form["from"],
                "text": form["text"],
                "messageId": message_id,
                "receivedAt": datetime.now(UTC).isoformat(),
            }
        )
        return web.json_response({"result": "OK", "messageId": message_id})

    app = web.Application()
    app.add_routes([web.post("/sms", sms), *control.routes()])
    app.on_shutdown.append(control.release)
    return app


async def _form(request: web.Request) -> dict[str, str]:
    """The form's fields; none at all when it is no form."""
    if request.content_type != _FORM:
        return {}
    body = await request.read()
    return dict(parse_qsl(body.decode("utf-8", errors="replace"), keep_blank_values=True))


def _error(status: int, code: str) -> web.Response:
    return web.json_response({"result": "ERROR", "code": code}, status=status)
