"""Spans around what is done to an event. Nothing at all happens here until a process was told where to send them."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Literal, Protocol

from spacehub.events.envelope import Event

if TYPE_CHECKING:
    import aiohttp

FLUSH = 3.0
"""Seconds that a process which ends takes at most to send its last spans, after it has drained."""

Kind = Literal["internal", "producer"]


class EventSpan(Protocol):
    """The span in which one event is handled."""

    traceparent: str
    """What everything that is done on its account carries on."""

    def end(self, fate: str, reason: str | None = None) -> None:
        """What became of the event; only the first word counts."""


class Sent(Protocol):
    """A message on its way to the broker: what the span of its sending tells."""

    @property
    def exchange(self) -> str: ...
    @property
    def routing_key(self) -> str: ...
    @property
    def message_id(self) -> str: ...


class Recorder(Protocol):
    """What makes spans once tracing is on; see `recording`."""

    def handling(self, event: Event, *, queue: str, attempts: int) -> EventSpan: ...
    def together(self, spans: Sequence[EventSpan]) -> AbstractContextManager[None]: ...
    def within(self, traceparent: str) -> AbstractContextManager[None]: ...
    def span(self, name: str, *, kind: Kind, attributes: dict[str, Any]) -> AbstractContextManager[str | None]: ...
    def sent(self, message: Sent, *, traceparent: str, began: int, attributes: dict[str, Any]) -> None: ...
    def current_trace_id(self) -> str | None: ...
    def attend(self, app: object) -> None: ...
    def of_calls(self) -> "list[aiohttp.TraceConfig]": ...
    def finish(self, *, within: float) -> None: ...


_recorder: Recorder | None = None


def use(recorder: Recorder | None) -> None:
    """From now on spans go to `recorder`; None: there are none."""
    global _recorder
    _recorder = recorder


def are_recorded() -> bool:
    """Whether anything here does anything."""
    return _recorder is not None


def handling(event: Event, *, queue: str, attempts: int) -> EventSpan | None:
    """A span for handling `event`, begun now, within the trace that the event names or else in a new one."""
    return None if _recorder is None else _recorder.handling(event, queue=queue, attempts=attempts)


def together(spans: Sequence[EventSpan | None]) -> AbstractContextManager[None]:
    """While the block runs, what is asked of databases and neighbours shows in the first of `spans` that is recorded;
    the others lead there by a link."""
    if _recorder is None:
        return nullcontext()
    return _recorder.together([span for span in spans if span is not None])


def within(traceparent: str | None) -> AbstractContextManager[None]:
    """While the block runs, what is done belongs to that span."""
    return nullcontext() if _recorder is None or traceparent is None else _recorder.within(traceparent)


def span(name: str, *, kind: Kind = "internal", **attributes: Any) -> AbstractContextManager[str | None]:
    """A span around the block; its `traceparent`, None when spans are off. Attributes: ids and counts only."""
    if _recorder is None:
        return nullcontext()
    told = {f"spacehub.{key}": value for key, value in attributes.items() if value is not None}
    return _recorder.span(name, kind=kind, attributes=told)


def sent(message: Sent, *, traceparent: str, began: int, **attributes: Any) -> None:
    """A span for handing `message` to the broker, from `began` (`time.time_ns`) until now."""
    if _recorder is not None:
        told = {f"spacehub.{key}": value for key, value in attributes.items()}
        _recorder.sent(message, traceparent=traceparent, began=began, attributes=told)


def current_trace_id() -> str | None:
    """The trace of what is being done here and now."""
    return None if _recorder is None else _recorder.current_trace_id()


def attend(app: object) -> None:
    """Give every call of `app` a span, if it is a FastAPI application."""
    if _recorder is not None:
        _recorder.attend(app)


def of_calls() -> "list[aiohttp.TraceConfig]":
    """For an aiohttp session that leads out of the house: a span for each call, and nothing of it on the wire."""
    return [] if _recorder is None else _recorder.of_calls()


def finish() -> None:
    """Send what is left, for `FLUSH` seconds at most. Blocks: call it from a thread."""
    if _recorder is not None:
        _recorder.finish(within=FLUSH)
