"""The spans themselves, by OpenTelemetry's API and its instrumentations. Imported only when tracing is on."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Thread
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from opentelemetry import context, trace
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Span, SpanContext, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from spacehub.events.catalogue import TYPE_PREFIX
from spacehub.events.envelope import Event
from spacehub.tracing.spans import EventSpan, Kind, Sent

if TYPE_CHECKING:
    import aiohttp

SCOPE = "spacehub"
PAGES = "/healthz$,/readyz$,/metrics$,/stream$"
"""Calls without a span: the cluster's pages, and streams, which have no end worth waiting for."""

_KINDS = {"internal": SpanKind.INTERNAL, "producer": SpanKind.PRODUCER}
_W3C = TraceContextTextMapPropagator()


class HandlingSpan:
    """See `spans.EventSpan`."""

    def __init__(self, span: Span) -> None:
        self.span = span
        self.traceparent = _traceparent(span.get_span_context())
        self._ended = False

    def end(self, fate: str, reason: str | None = None) -> None:
        """See `spans.EventSpan`."""
        if self._ended:
            return
        self._ended = True
        self.span.set_attribute("spacehub.fate", fate)
        if reason is not None:
            self.span.set_status(Status(StatusCode.ERROR, reason))
        self.span.end()


class Recorder:
    """See `spans.Recorder`."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer(SCOPE)

    def handling(self, event: Event, *, queue: str, attempts: int) -> EventSpan:
        """A consumer's span, child of what the event says."""
        return HandlingSpan(
            self._tracer.start_span(
                f"process {queue}",
                context=_parent(event.traceparent),
                kind=SpanKind.CONSUMER,
                attributes={
                    "messaging.system": "rabbitmq",
                    "messaging.operation.type": "process",
                    "messaging.operation.name": "process",
                    "messaging.destination.name": queue,
                    "cloudevents.event_id": event.id,
                    "cloudevents.event_source": event.source,
                    "cloudevents.event_type": TYPE_PREFIX + event.data.type,
                    "spacehub.attempts": attempts,
                },
            )
        )

    @contextmanager
    def together(self, spans: Sequence[EventSpan]) -> Iterator[None]:
        """The first recorded one is the current span; the others are linked to it."""
        handled = [one.span for one in spans if isinstance(one, HandlingSpan)]
        recorded = [span for span in handled if span.is_recording()]
        for other in recorded[1:]:
            other.add_link(recorded[0].get_span_context(), {"spacehub.link": "handled together"})
            other.set_attribute("messaging.batch.message_count", len(handled))
        if len(recorded) > 1:
            recorded[0].set_attribute("messaging.batch.message_count", len(handled))
        first = next(iter(recorded or handled), trace.INVALID_SPAN)
        with trace.use_span(first, record_exception=False, set_status_on_exception=False):
            yield

    @contextmanager
    def within(self, traceparent: str) -> Iterator[None]:
        """What `traceparent` names is the current span."""
        token = context.attach(_parent(traceparent))
        try:
            yield
        finally:
            context.detach(token)

    @contextmanager
    def span(self, name: str, *, kind: Kind, attributes: dict[str, Any]) -> Iterator[str | None]:
        """A span of ours; of what is raised, it tells the class alone."""
        with self._tracer.start_as_current_span(
            name, kind=_KINDS[kind], attributes=attributes, record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                yield _traceparent(span.get_span_context())
            except Exception as fault:
                span.set_status(Status(StatusCode.ERROR, type(fault).__name__))
                raise

    def sent(self, message: Sent, *, traceparent: str, began: int, attributes: dict[str, Any]) -> None:
        """A producer's span, child of what made the message, over a time that has passed."""
        self._tracer.start_span(
            f"send {message.exchange or message.routing_key}",
            context=_parent(traceparent),
            kind=SpanKind.PRODUCER,
            attributes={
                "messaging.system": "rabbitmq",
                "messaging.operation.type": "send",
                "messaging.operation.name": "send",
                "messaging.destination.name": message.exchange,
                "messaging.rabbitmq.destination.routing_key": message.routing_key,
                "messaging.message.id": message.message_id,
                **attributes,
            },
            start_time=began,
        ).end(time.time_ns())

    def current_trace_id(self) -> str | None:
        """The current span's trace."""
        found = trace.get_current_span().get_span_context()
        return trace.format_trace_id(found.trace_id) if found.is_valid else None

    def attend(self, app: object) -> None:
        """By FastAPI's instrumentation; some pages are left out."""
        if isinstance(app, FastAPI):
            FastAPIInstrumentor.instrument_app(
                app, tracer_provider=self._provider, excluded_urls=PAGES, exclude_spans=["receive", "send"]
            )

    def of_calls(self) -> "list[aiohttp.TraceConfig]":
        """By aiohttp's instrumentation; strangers are not told the ids of our traces."""
        import aiohttp
        from opentelemetry.instrumentation.aiohttp_client import create_trace_config

        async def keep_ours(_: object, __: object, call: aiohttp.TraceRequestStartParams) -> None:
            for header in _W3C.fields:
                call.headers.pop(header, None)

        def name_host(span: Span, call: aiohttp.TraceRequestStartParams) -> None:
            span.set_attribute("server.address", call.url.host or "")

        silent = aiohttp.TraceConfig()
        silent.on_request_start.append(keep_ours)
        return [create_trace_config(tracer_provider=self._provider, request_hook=name_host), silent]

    def finish(self, *, within: float) -> None:
        """Send what is left; a collector that does not answer is not waited for."""
        sending = Thread(target=self._provider.shutdown, daemon=True)
        sending.start()
        sending.join(within)


def _parent(traceparent: str | None) -> context.Context:
    """A context in which that is the current span, none when it names none; whatever is current here and now is left
    out."""
    carrier = {} if traceparent is None else {"traceparent": traceparent}
    return _W3C.extract(carrier, context=context.Context())


def _traceparent(found: SpanContext) -> str:
    """As text, with the one flag that every reader knows."""
    sampled = "01" if found.trace_flags.sampled else "00"
    return f"00-{trace.format_trace_id(found.trace_id)}-{trace.format_span_id(found.span_id)}-{sampled}"
