"""The OpenAPI documents of our HTTP APIs, as the applications describe themselves."""

from collections.abc import Callable, Mapping
from typing import Any

import devices_api.routes
from fastapi import FastAPI

_NOTHING: Any = None
"""For what an application is given to work with: describing itself, it calls none of it."""

APIS: Mapping[str, Callable[[], FastAPI]] = {
    "devices-api": lambda: devices_api.routes.public_api(authenticate=_NOTHING, registry=_NOTHING),
    "devices-api.internal": lambda: devices_api.routes.internal_api(authenticate=_NOTHING, registry=_NOTHING),
}
"""Every application, by the name of its document."""


def documents() -> dict[str, dict[str, Any]]:
    """Each document by its name."""
    return {name: make().openapi() for name, make in APIS.items()}
