"""Tracing: the deliveries that somebody asks about, page by page, or by the one thing that they have in hand."""

import re
from datetime import datetime
from typing import Protocol
from uuid import UUID

from pydantic import SecretStr
from spacehub.privacy import phone_trace

from inbox_api import cursors
from inbox_api.records import Page, Record, Search

A_DIGIT = "[0-9０-９]"
"""What every spelling of a phone number has, be it as an East Asian keyboard writes it."""
_A_LETTER = r"[^\W\d_]"
"""Of any script: what no spelling of a number has."""


class Records(Protocol):
    """The deliveries on record. Raises Away while the database cannot be reached."""

    async def found(self, search: Search, *, after: tuple[datetime, UUID] | None, most: int) -> list[Record]:
        """Those that `search` asks for, the newest first, or those that come after that moment and id."""


class NothingAsked(ValueError):
    """The search says nothing: all deliveries there are is not an answer."""


async def page(search: Search, *, cursor: str | None, limit: int, records: Records) -> Page:
    """Up to `limit` of the deliveries that `search` asks for, the newest or those after `cursor`.

    While deliveries are made, pages neither repeat nor skip one. Raises NothingAsked, NotACursor.
    """
    if search.is_for_all:
        raise NothingAsked
    after = cursors.read(cursor, of=search) if cursor else None
    found = await records.found(search, after=after, most=limit + 1)
    shown = found[:limit]
    if len(found) <= limit:
        return Page(shown, None)
    return Page(shown, cursors.written(shown[-1].created_at, shown[-1].id, of=search))


async def one(delivery: UUID, *, records: Records) -> Record | None:
    """The delivery of that id."""
    return next(iter(await records.found(Search(delivery_id=delivery), after=None, most=1)), None)


async def asked_about(what: str, *, records: Records, phone_key: SecretStr, most: int) -> list[Record]:
    """The newest deliveries that `what` may mean, up to `most`: an event's, a user's or a delivery's id, or a phone."""
    found: dict[UUID, Record] = {}
    for search in _meanings(what.strip(), phone_key):
        for record in await records.found(search, after=None, most=most):
            found[record.id] = record
    newest_first = sorted(found.values(), key=lambda record: (record.created_at, record.id), reverse=True)
    return newest_first[:most]


def hash_of(phone: str, *, key: SecretStr) -> bytes:
    """What deliveries to `phone` are found by, in any spelling that the senders take."""
    return phone_trace(phone, key=key).hash


def _meanings(what: str, phone_key: SecretStr) -> list[Search]:
    meanings = [Search(event_id=what)]
    try:
        meanings += [Search(user_id=UUID(what)), Search(delivery_id=UUID(what))]
    except ValueError:
        if re.search(A_DIGIT, what) and not re.search(_A_LETTER, what):
            meanings.append(Search(phone_hash=hash_of(what, key=phone_key)))
    return meanings
