"""The OpenAPI documents of our HTTP APIs, as the applications describe themselves."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import devices_api.routes
import inbox_api.routes.api
from fastapi import FastAPI

APIS: Mapping[str, Callable[..., FastAPI]] = {
    "devices-api": devices_api.routes.public_api,
    "devices-api.internal": devices_api.routes.internal_api,
    "inbox-api": inbox_api.routes.api.public_api,
}
"""What makes each application, by the name of its document."""


def documents() -> dict[str, dict[str, Any]]:
    """Each document by its name. An application that only describes itself is given nothing to work with."""
    return {name: make(**dict.fromkeys(inspect.signature(make).parameters)).openapi() for name, make in APIS.items()}
