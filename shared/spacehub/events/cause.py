"""What is being handled: the event on whose account things are written and logged, known without being passed along."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

_TRACEPARENT = re.compile(r"00-(?P<trace_id>(?!0{32})[0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_AT_THE_END = re.compile(rb'"traceparent":"([0-9a-f-]{55})"\}\Z')


@dataclass(frozen=True, slots=True)
class Cause:
    """One event at hand. `source_id` is the id of the event that everything began with, where it tells of one."""

    event_id: str
    traceparent: str | None = None
    source_id: str | None = None


_cause: ContextVar[Cause | None] = ContextVar("cause", default=None)


def current() -> Cause | None:
    """The event at hand; None outside of any, and while several are handled together."""
    return _cause.get()


@contextmanager
def because_of(cause: Cause | None) -> Iterator[None]:
    """`cause` is at hand while the block runs."""
    token = _cause.set(cause)
    try:
        yield
    finally:
        _cause.reset(token)


def trace_id_of(traceparent: str | None) -> str | None:
    """The trace that a `traceparent` names, 32 hexadecimal digits; None for whatever is not one.

    https://www.w3.org/TR/trace-context/#traceparent-header
    """
    found = _TRACEPARENT.fullmatch(traceparent) if traceparent is not None else None
    return found and found["trace_id"]


def traceparent_in(body: bytes) -> str | None:
    """The `traceparent` of a message as `envelope.write` makes it, without reading all of it."""
    found = _AT_THE_END.search(body[-80:])
    return found and found[1].decode()
