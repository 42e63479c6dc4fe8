"""The calls of the app about what a user prefers."""

from collections.abc import Callable
from datetime import datetime

from fastapi import FastAPI
from spacehub.auth.guard import CurrentCaller
from spacehub.problems import Problem, documented

from inbox_api import preferring
from inbox_api.contacts import Preferences
from inbox_api.shapes import PreferencesBody

PREFERENCES = "/v2/notification-preferences"

Clock = Callable[[], datetime]


def add_preferences(app: FastAPI, *, contacts: preferring.Store, clock: Clock) -> None:
    """Add the calls about preferences to `app`."""

    @app.get(PREFERENCES, response_model=PreferencesBody, responses=documented(401, 503))
    async def get_preferences(caller: CurrentCaller) -> Preferences:
        """What the caller prefers; critical messages come all the same."""
        return await preferring.preferences(caller.user_id, store=contacts)

    @app.put(PREFERENCES, response_model=PreferencesBody, responses=documented(400, 401, 404, 413, 415, 422, 503))
    async def put_preferences(body: PreferencesBody, caller: CurrentCaller) -> Preferences:
        """Say what the caller prefers from now on. 404 for a user who was deleted."""
        chosen = Preferences(body.locale, body.sms, body.push)
        try:
            return await preferring.prefer(caller.user_id, chosen, store=contacts, clock=clock)
        except preferring.UserGone:
            raise Problem(404, "There is no such user any more.") from None
