"""The API before the gateway: what the app calls, and what operations call."""

from collections.abc import Callable
from datetime import datetime

from fastapi import FastAPI
from pydantic import SecretStr
from spacehub.auth.guard import Authenticate
from spacehub.http_api import http_api

from inbox_api import preferring, reading, tracing
from inbox_api.routes.feed import add_feed, add_stream
from inbox_api.routes.operations import add_operations
from inbox_api.routes.preferences import add_preferences
from inbox_api.streaming import Streams


def public_api(
    *,
    authenticate: Authenticate,
    feeds: reading.Feeds,
    streams: Streams,
    contacts: preferring.Store,
    records: tracing.Records,
    phone_key: SecretStr,
    clock: Callable[[], datetime],
) -> FastAPI:
    """The calls of the app and of operations, behind the gateway."""
    app = http_api("Spacehub inbox", authenticate=authenticate)
    add_feed(app, feeds=feeds, clock=clock)
    add_stream(app, streams=streams)
    add_preferences(app, contacts=contacts, clock=clock)
    add_operations(app, records=records, phone_key=phone_key)
    return app
