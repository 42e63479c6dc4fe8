"""Lets the AMQP client take every message a broker can deliver, also one whose properties it cannot decode.

pamqp raises on a timestamp beyond the year 9999, on names that are not UTF-8 and on deep tables, and aiormq then drops
the connection: the broker would deliver such a message, and all that were sent along with it, until it gives them up.
"""

from collections.abc import Callable
from typing import Any

from pamqp import decode

_FAULTS = (ValueError, OverflowError, RecursionError)
_Decoder = Callable[[bytes], tuple[int, Any]]


def decode_everything() -> None:
    """From now on what cannot be decoded reads as absent, or without the characters that are none."""
    decode.METHODS.update(table=_table, timestamp=_timestamp, shortstr=_short_string)


def _table(value: bytes) -> tuple[int, dict[str, Any]]:
    try:
        return decode.field_table(value)
    except _FAULTS:
        return 4 + int.from_bytes(value[:4], "big"), {}


def _timestamp(value: bytes) -> tuple[int, Any]:
    try:
        return decode.timestamp(value)
    except _FAULTS:
        return 8, None


def _short_string(value: bytes) -> tuple[int, str]:
    length = value[0]
    return 1 + length, value[1 : 1 + length].decode(errors="ignore")
