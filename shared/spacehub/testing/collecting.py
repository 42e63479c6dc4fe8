"""A collector for tests: takes spans over OTLP/HTTP, as the exporters send them, and keeps them."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, MutableMapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from spacehub.testing.serving import served

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


@dataclass(frozen=True)
class Collected:
    """One span as it was sent; ids in hexadecimal digits, `parent` empty for the first of a trace."""

    process: str
    name: str
    kind: str
    trace: str
    id: str
    parent: str
    links: tuple[str, ...]
    attributes: dict[str, Any]
    failed: bool
    whole: str


@dataclass
class Collector:
    """`url` is what `OTEL_EXPORTER_OTLP_ENDPOINT` is to say."""

    url: str = ""
    spans: list[Collected] = field(default_factory=list)

    def of(self, trace: str) -> list[Collected]:
        """The spans of one trace so far."""
        return [span for span in self.spans if span.trace == trace]


@asynccontextmanager
async def collecting() -> AsyncIterator[Collector]:
    """A collector on 127.0.0.1 while the block runs."""
    collector = Collector()

    async def take(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        assert scope["path"] == "/v1/traces"
        body, more = b"", True
        while more:
            part = await receive()
            body, more = body + part.get("body", b""), part.get("more_body", False)
        collector.spans.extend(_spans(ExportTraceServiceRequest.FromString(body)))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async with served(take) as url:
        collector.url = url
        yield collector


def _spans(request: Any) -> Iterator[Collected]:
    for resource in request.resource_spans:
        process = _attributes(resource.resource.attributes).get("spacehub.process", "")
        for span in (span for scope in resource.scope_spans for span in scope.spans):
            yield Collected(
                process=process,
                name=span.name,
                kind=span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_").lower(),
                trace=span.trace_id.hex(),
                id=span.span_id.hex(),
                parent=span.parent_span_id.hex(),
                links=tuple(link.span_id.hex() for link in span.links),
                attributes=_attributes(span.attributes),
                failed=span.status.code == 2,
                whole=str(span),
            )


def _attributes(found: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in found}
