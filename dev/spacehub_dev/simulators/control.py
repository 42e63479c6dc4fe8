"""What both simulators share: the control surface, and answering a request as the behaviour in force demands."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError

from spacehub_dev.simulators.accepted import Accepted
from spacehub_dev.simulators.behaviour import Behaviour, Conduct, reset

Accept = Callable[[web.Request], Awaitable[web.Response]]
"""Judges a request as the real service would; whatever it answers with 200 it has recorded."""

Order = TypeVar("Order", bound=BaseModel)

Fail = Callable[[int], web.Response]
"""The service's own error body for a status."""


class Control:
    """One simulator's state, and the pages that read and change it."""

    def __init__(self) -> None:
        self.conduct = Conduct()
        self.accepted = Accepted()

    async def answer(self, request: web.Request, *, accept: Accept, fail: Fail) -> web.Response:
        """Answer `request` as told.

        `garbage` and `accept_then_reset` accept first: the message is recorded, as money would have been taken. A
        request that the service would refuse is refused in these modes too.
        """
        behaviour = self.conduct.take()
        if behaviour.mode == "hang":
            return await self.conduct.hang(request)
        if behaviour.status is not None:
            response = fail(behaviour.status)
            if behaviour.retry_after is not None and behaviour.status in (429, 503):
                response.headers["Retry-After"] = str(behaviour.retry_after)
        else:
            response = await accept(request)
        if behaviour.latency_ms:
            await asyncio.sleep(behaviour.latency_ms / 1000)
        if response.status == 200 and behaviour.mode == "garbage":
            return web.Response(body=b"\x8f\x00<<{]", content_type="application/json")
        if response.status == 200 and behaviour.mode == "accept_then_reset":
            return reset(request)
        return response

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/control/messages", self._messages),
            web.delete("/control/messages", self._forget),
            web.put("/control/behaviour", self._behave),
            web.get("/healthz", self._healthy),
            web.get("/readyz", self._healthy),
        ]

    async def release(self, _: web.Application) -> None:
        """Let go of whoever hangs, so that the process can stop."""
        self.conduct.change(Behaviour())

    async def _messages(self, request: web.Request) -> web.Response:
        since = request.query.get("since", "0")
        if not (since.isascii() and since.isdigit()):
            return web.json_response({"error": "since should be a number"}, status=400)
        return web.Response(body=self.accepted.since(int(since[:18])), content_type="application/json")

    async def _forget(self, _: web.Request) -> web.Response:
        self.accepted.forget()
        return web.Response(status=204)

    async def _behave(self, request: web.Request) -> web.Response:
        behaviour = await read_order(Behaviour, request)
        self.conduct.change(behaviour)
        return web.json_response(behaviour.model_dump())

    async def _healthy(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})


async def read_order(kind: type[Order], request: web.Request) -> Order:
    """The body of a control call; answers 422, naming each wrong key, when it makes no sense."""
    try:
        return kind.model_validate_json(await request.read())
    except ValidationError as error:
        wrong = error.json(include_url=False, include_input=False, include_context=False)
        raise web.HTTPUnprocessableEntity(text=f'{{"error":{wrong}}}', content_type="application/json") from None
