"""Errors as RFC 9457 problem+json, the same for both APIs: what is wrong, never the values, never a stack."""

import traceback
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from spacehub.errors import Away

log = structlog.get_logger()

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER = "5"
"""Seconds until a client may ask again when something of ours is away."""

SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "required": ["type", "title", "status"],
    "properties": {
        "type": {"type": "string", "description": "about:blank: the title says it all"},
        "title": {"type": "string", "description": "the status in words"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "what is wrong with this request, in plain words"},
        "errors": {
            "type": "array",
            "description": "the faults by field, without the values",
            "items": {
                "type": "object",
                "required": ["in", "field", "message"],
                "properties": {
                    "in": {"type": "string", "examples": ["body", "query", "path"]},
                    "field": {"type": "string"},
                    "message": {"type": "string"},
                },
            },
        },
    },
}
"""The body of every error, for OpenAPI."""

_PLAIN = {"uuid_parsing": "should be a UUID", "json_invalid": "should be JSON"}
"""Messages of ours where the library's would quote a part of the value."""


class Problem(HTTPException):
    """An answer that is an error. `detail` is for the people who write clients and holds no value of the request."""

    def __init__(
        self,
        status: int,
        detail: str | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        errors: Sequence[Mapping[str, str]] = (),
    ) -> None:
        super().__init__(status, detail or HTTPStatus(status).phrase, headers=dict(headers or {}))
        self.errors = errors


def response(problem: HTTPException) -> Response:
    """The answer on the wire."""
    title = HTTPStatus(problem.status_code).phrase
    body: dict[str, Any] = {"type": "about:blank", "title": title, "status": problem.status_code}
    if problem.detail != title:
        body["detail"] = problem.detail
    if isinstance(problem, Problem) and problem.errors:
        body["errors"] = list(problem.errors)
    return JSONResponse(body, problem.status_code, headers=problem.headers, media_type=MEDIA_TYPE)


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The errors that a route may answer with, as FastAPI's `responses`."""
    content = {MEDIA_TYPE: {"schema": dict(SCHEMA)}}
    return {status: {"description": HTTPStatus(status).phrase, "content": content} for status in statuses}


def install(app: FastAPI) -> None:
    """Make every error of `app` a problem; nothing unexpected reaches the server, whose log would quote values."""
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(Away, _away)
    app.add_middleware(LastResort)


class LastResort:
    """Answers 500 to what nobody foresaw, and logs where it happened: the stack without the exception's text."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def sending(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except Exception as fault:
            route = getattr(scope.get("route"), "path", None)
            stack = "".join(traceback.format_tb(fault.__traceback__))
            log.error("request_failed", error=type(fault).__name__, route=route, started=started, stack=stack)
            if not started:
                await response(Problem(500))(scope, receive, send)


async def _refused(_: Request, fault: Exception) -> Response:
    assert isinstance(fault, HTTPException)
    return response(fault)


async def _invalid(_: Request, fault: Exception) -> Response:
    assert isinstance(fault, RequestValidationError)
    errors = []
    for error in fault.errors():
        place, *field = error["loc"]
        if error["type"] == "json_invalid":
            field = []
        message = _PLAIN.get(error["type"], error["msg"].removeprefix("Value error, "))
        errors.append({"in": str(place), "field": ".".join(map(str, field)), "message": message})
    return response(Problem(422, "The request is not as it should be.", errors=errors))


async def _away(_: Request, fault: Exception) -> Response:
    log.warning("request_refused", reason=str(fault))
    return response(Problem(503, "Please try again in a moment.", headers={"Retry-After": RETRY_AFTER}))
