"""Which request bodies an API takes: JSON up to a size, however it is sent."""

from email.message import Message as Header

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from spacehub.problems import Problem, response

SWALLOWED = 1024 * 1024
"""Bytes read of a body that is too large: a client that is still writing hears the answer only when it is done."""

_WITH_BODY = {"POST", "PUT", "PATCH"}


class JsonBodies:
    """ASGI middleware: 413 for a body of more than `most` bytes, 415 for one that is not JSON.

    A body that may pass is read whole before the application runs, so chunked ones are measured like the others.
    """

    def __init__(self, app: ASGIApp, *, most: int) -> None:
        self._app = app
        self._most = most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        if scope["type"] != "http" or not ("content-length" in headers or "transfer-encoding" in headers):
            await self._app(scope, receive, send)
            return
        if "expect" in headers and int(headers.get("content-length", "0")) > self._most:
            await self._too_large()(scope, receive, send)  # the client asked before sending
            return
        body = await self._read(receive)
        if body is None:
            await self._too_large()(scope, receive, send)
        elif body and scope["method"] in _WITH_BODY and not _is_json(headers.get("content-type")):
            await response(Problem(415, "The body should be application/json."))(scope, receive, send)
        else:
            await self._app(scope, _replayed(body, receive), send)

    async def _read(self, receive: Receive) -> bytes | None:
        """The body, None when it is too large. One that breaks off is given as far as it came: its sender is gone."""
        body, size, more = bytearray(), 0, True
        while more and size <= SWALLOWED:
            message = await receive()
            part = message.get("body", b"")
            size += len(part)
            if size <= self._most:
                body += part
            more = message.get("more_body", False)
        return bytes(body) if size <= self._most else None

    def _too_large(self) -> ASGIApp:
        detail = f"The body should be at most {self._most} bytes."
        return response(Problem(413, detail, headers={"Connection": "close"}))


def _is_json(content_type: str | None) -> bool:
    header = Header()
    header["content-type"] = content_type or ""
    kind, subtype = header.get_content_maintype(), header.get_content_subtype()
    return kind == "application" and (subtype == "json" or subtype.endswith("+json"))


def _replayed(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the body once and then whatever follows, such as the client's leaving."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again
