"""The database side of preferring: the switches and the language in a user's contact row."""

from collections.abc import AsyncIterator
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any
from uuid import UUID

from spacehub import database

from inbox_api import subject_rows
from inbox_api.closings import Closing
from inbox_api.contacts import Contact, Preferences

_CONTACT = "SELECT phone, phone_at, locale, locale_at, sms, push FROM contacts WHERE user_id = $1"

_PREFER = """
INSERT INTO contacts (user_id, locale, locale_at, sms, push) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (user_id) DO UPDATE SET
  locale = excluded.locale, locale_at = greatest(contacts.locale_at, excluded.locale_at),
  sms = excluded.sms, push = excluded.push"""
"""What the user says now is the last word, even if an event claimed to be from a later time."""


class PostgresContacts:
    """Every user's contact row. Raises Away while the database cannot be reached."""

    def __init__(self, pool: database.Lender) -> None:
        self._pool = pool

    async def contact(self, user_id: UUID) -> Contact | None:
        async with database.reading(self._pool) as connection:
            row = await connection.fetchrow(_CONTACT, user_id)
        return None if row is None else Contact(*row)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator["PostgresPreferring"]:
        async with database.transaction(self._pool) as connection:
            yield PostgresPreferring(connection)


class PostgresPreferring:
    """The statements of one choice."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def lock(self, *, shared: AbstractSet[str]) -> None:
        await subject_rows.lock(self._connection, shared=shared)

    async def closings(self, subjects: AbstractSet[str]) -> dict[str, Closing]:
        return await subject_rows.closings(self._connection, subjects)

    async def prefer(self, user_id: UUID, preferences: Preferences, *, at: datetime) -> None:
        chosen = preferences.locale, at, preferences.sms, preferences.push
        await self._connection.execute(_PREFER, user_id, *chosen)
