"""Starts tracing in a process: OpenTelemetry's SDK, told by its own variables, and the libraries' instrumentations."""

import os
from collections.abc import Sequence

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.asyncpg import AsyncPGInstrumentor
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import Link, SpanKind, TraceState, get_current_span
from opentelemetry.util.types import Attributes

from spacehub.settings import TraceExporter
from spacehub.tracing.discretion import Discreet
from spacehub.tracing.recording import Recorder


def start(process: str, exporter: TraceExporter) -> Recorder:
    """Export the spans of `process` ("sms-sender consume") from now on.

    The SDK reads the standard variables: the endpoint and its headers, the sampler, batch sizes, `OTEL_SERVICE_NAME`.
    """
    provider = provider_of(process, OTLPSpanExporter() if exporter == "otlp" else ConsoleSpanExporter())
    AsyncPGInstrumentor().instrument(tracer_provider=provider)  # type: ignore[no-untyped-call]
    HTTPXClientInstrumentor().instrument(tracer_provider=provider)
    return Recorder(provider)


def provider_of(process: str, exporter: SpanExporter) -> TracerProvider:
    """Makes spans that belong to `process` and hands them to `exporter`, discreetly and in batches."""
    os.environ.setdefault("OTEL_SEMCONV_STABILITY_OPT_IN", "http,database")  # today's names of attributes
    service = process.split()[0]
    told = {"service.name": service, "service.namespace": "spacehub", "spacehub.process": process}
    named = "OTEL_SERVICE_NAME" in os.environ or "service.name=" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    resource = Resource.create({name: value for name, value in told.items() if not (named and name == "service.name")})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.sampler = NoStrays(provider.sampler)
    provider.add_span_processor(BatchSpanProcessor(Discreet(exporter)))
    return provider


class NoStrays(Sampler):
    """As configured, except that a statement or a call on nobody's account (a look into an empty outbox, a readiness
    check) begins no trace of its own."""

    def __init__(self, configured: Sampler) -> None:
        self._configured = configured

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """See `Sampler`."""
        if kind is SpanKind.CLIENT and not get_current_span(parent_context).get_span_context().is_valid:
            return SamplingResult(Decision.DROP)
        return self._configured.should_sample(parent_context, trace_id, name, kind, attributes, links, trace_state)

    def get_description(self) -> str:
        """See `Sampler`."""
        return f"NoStrays({self._configured.get_description()})"
