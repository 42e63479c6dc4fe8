"""Cursors through deliveries as they are handed out: opaque, for one search only, recognised when they come back."""

import binascii
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from uuid import UUID

from inbox_api.records import Search

_VERSION = 1
_PLACE = struct.Struct(">Bq16s")
_CHECK = 8
"""Bytes of the checksum over place and search; with the place they make 44 characters without padding."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TICK = timedelta(microseconds=1)


class NotACursor(ValueError):
    """Not a cursor that was handed out for this search: mistyped, cut off, another search's or of another version."""


def written(created_at: datetime, delivery: UUID, *, of: Search) -> str:
    """The cursor after that delivery in the answers to the search `of`."""
    place = _PLACE.pack(_VERSION, (created_at - _EPOCH) // _TICK, delivery.bytes)
    return urlsafe_b64encode(place + _check(place, of)).decode()


def read(text: str, *, of: Search) -> tuple[datetime, UUID]:
    """Where the cursor `text` of the search `of` stands. Raises NotACursor."""
    try:
        content = urlsafe_b64decode(text.encode("ascii"))
        version, ticks, delivery = _PLACE.unpack(content[: _PLACE.size])
        place = _EPOCH + ticks * _TICK, UUID(bytes=delivery)
    except (UnicodeEncodeError, binascii.Error, struct.error, OverflowError):
        raise NotACursor from None
    if version != _VERSION or written(*place, of=of) != text:
        raise NotACursor
    return place


def _check(place: bytes, search: Search) -> bytes:
    return blake2b(place + repr(search).encode(), digest_size=_CHECK).digest()
