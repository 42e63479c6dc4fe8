"""Access tokens of our service account: the library's credential, refreshed where it does not hold up the loop."""

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path

import google.auth.exceptions
import requests
import structlog
from firebase_admin import credentials
from google.auth.credentials import TokenState
from google.auth.transport.requests import Request

log = structlog.get_logger()

_TIMEOUT = 10.0
"""Seconds for one call of the token endpoint; the library makes up to three."""


class NoAccess(Exception):
    """The token endpoint gave none. `credentials_refused` is our fault, `token_endpoint_away` passes."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Access:
    """Access tokens for one service account, whose key `read` brings; safe for many tasks of one loop.

    The key is read again for each token, so that its file can be replaced; one that cannot be read leaves the last.

    google-auth refreshes with a blocking client inside the call that needs a token. Here it happens before, in a
    thread, and once for all who wait, whether it works or not.
    """

    def __init__(self, read: Callable[[], credentials.Base]) -> None:
        self._read = read
        self._credential = read().get_credential()
        self._refreshing: asyncio.Task[None] | None = None
        self._session = requests.Session()
        self._session.trust_env = False

    async def token(self) -> str:
        """A token that is valid now. Raises NoAccess."""
        if self._credential.token_state is not TokenState.FRESH:
            if self._refreshing is None or self._refreshing.done():
                self._refreshing = asyncio.create_task(self._refresh())
            await asyncio.shield(self._refreshing)
        return str(self._credential.token)

    def refused(self, token: str) -> None:
        """FCM did not take `token`: fetch another one before the next message."""
        if self._credential.token == token:
            self._credential.token = None

    def close(self) -> None:
        """Close the connection to the token endpoint."""
        self._session.close()

    async def _refresh(self) -> None:
        request = partial(Request(self._session), timeout=_TIMEOUT)
        try:
            credential = await asyncio.to_thread(lambda: self._read().get_credential())
        except (ValueError, OSError):
            log.warning("service_account_unreadable")
            credential = self._credential
        try:
            await asyncio.to_thread(credential.refresh, request)
            self._credential = credential
        except google.auth.exceptions.GoogleAuthError as error:
            if self._credential.token_state is TokenState.STALE:
                return  # it still works for some minutes, and the next call tries again
            refused = isinstance(error, google.auth.exceptions.RefreshError) and not error.retryable
            # The library's words may quote the endpoint's answer: they stay out.
            raise NoAccess("credentials_refused" if refused else "token_endpoint_away") from None


def service_account(file: Path) -> credentials.Certificate:
    """The key that Firebase's console hands out as JSON; its `token_uri` says where access tokens come from.

    Raises ValueError or OSError, saying what is wrong with the file.
    """
    return credentials.Certificate(str(file))
