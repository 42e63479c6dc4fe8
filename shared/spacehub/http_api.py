"""An HTTP API of ours before it has routes: callers are known, bodies are small JSON, errors are problem+json."""

from fastapi import FastAPI
from fastapi.telemetry import TelemetryConfig

from spacehub import problems
from spacehub.auth.guard import Authenticate, Guard
from spacehub.bodies import JsonBodies

LARGEST_BODY = 16 * 1024
"""Bytes, for everything that comes through the gateway."""

LONGEST_HEAD = 64 * 1024
"""Bytes of request line and headers: a device token of 4,096 characters is up to 48 KiB long in a path."""

_OUR_OWN: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False}
"""Spans are made by `spacehub.tracing`; the framework would look at each call whether to make some of its own."""


def http_api(title: str, *, authenticate: Authenticate, largest_body: int = LARGEST_BODY) -> FastAPI:
    """An application in which every path, also one that is not there, needs a token that `authenticate` takes."""
    app = FastAPI(title=title, version="2", openapi_url=None, redirect_slashes=False, telemetry=_OUR_OWN)
    app.add_middleware(JsonBodies, most=largest_body)
    app.add_middleware(Guard, authenticate=authenticate)
    problems.install(app)
    return app
