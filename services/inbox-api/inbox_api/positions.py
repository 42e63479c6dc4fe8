"""Positions in a feed as they are handed out: opaque, for one user's feed only, and recognised when they come back.

They hold nothing secret and are not signed: whoever makes one up reads a page of the own feed from another row on.
"""

import binascii
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import blake2b
from uuid import UUID

_VERSION = 1
_PLACE = struct.Struct(">BQ")
_CHECK = 6
"""Bytes of the checksum over place and user; with the place they make 20 characters without padding."""


class NotAPosition(ValueError):
    """Not a position that was handed out for this feed: mistyped, cut off, another user's or of another version."""


def written(seq: int, *, of: UUID) -> str:
    """The position of the row `seq` in the feed of the user `of`."""
    place = _PLACE.pack(_VERSION, seq)
    return urlsafe_b64encode(place + _check(place, of)).decode()


def read(text: str, *, of: UUID) -> int:
    """The number of the row at the position `text` of the user `of`. Raises NotAPosition."""
    try:
        content = urlsafe_b64decode(text.encode("ascii"))
        version, seq = _PLACE.unpack(content[: _PLACE.size])
    except (UnicodeEncodeError, binascii.Error, struct.error):
        raise NotAPosition from None
    if version != _VERSION or seq >= 2**63 or written(seq, of=of) != text:
        raise NotAPosition
    return int(seq)


def _check(place: bytes, user: UUID) -> bytes:
    return blake2b(place + user.bytes, digest_size=_CHECK).digest()
