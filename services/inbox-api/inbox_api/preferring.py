"""Preferring: what users say of the language they read and of the ways that messages may come."""

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol
from uuid import UUID

from inbox_api.closings import Closing, of_user
from inbox_api.contacts import UNKNOWN, Contact, Preferences, preferences_of


class Transaction(Protocol):
    """What is asked of the database for one choice, in this order."""

    async def lock(self, *, shared: AbstractSet[str]) -> None:
        """Hold these subjects until the end, against those who close them."""

    async def closings(self, subjects: AbstractSet[str]) -> Mapping[str, Closing]: ...

    async def prefer(self, user_id: UUID, preferences: Preferences, *, at: datetime) -> None:
        """Keep them; a locale that was told before `at` no longer counts."""


class Store(Protocol):
    """The service's database. Raises Away while it cannot be reached."""

    async def contact(self, user_id: UUID) -> Contact | None: ...

    def transaction(self) -> AbstractAsyncContextManager[Transaction]: ...


class UserGone(Exception):
    """The user was deleted: nothing is kept of them any more, though a token may still be valid."""


async def preferences(user_id: UUID, *, store: Store) -> Preferences:
    """What holds for the user now."""
    return preferences_of(await store.contact(user_id) or UNKNOWN)


async def prefer(
    user_id: UUID, preferences: Preferences, *, store: Store, clock: Callable[[], datetime]
) -> Preferences:
    """Keep the user's choices; of language the last word counts, here or in `user.updated`. Raises UserGone."""
    user = of_user(user_id)
    async with store.transaction() as transaction:
        await transaction.lock(shared={user})
        closing = (await transaction.closings({user})).get(user)
        if closing is not None and closing.closed:
            raise UserGone
        await transaction.prefer(user_id, preferences, at=clock())
    return preferences
