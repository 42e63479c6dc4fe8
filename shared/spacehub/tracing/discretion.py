"""What of a span leaves the house: a closed list of attributes, never an address, a query, a header or a fault's words.

The instrumentations note whole URLs (a device's token is part of one), clients' addresses and exceptions with what
they quote. So a span is copied before it is exported, and only what is known to be harmless goes along.
"""

from collections.abc import Sequence
from typing import Any

from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import Link, SpanKind, Status

from spacehub.tracing.recording import SCOPE

HARMLESS = frozenset(
    {
        "db.name",
        "db.namespace",
        "db.operation.name",
        "db.query.text",
        "db.statement",
        "db.system",
        "db.system.name",
        "error.type",
        "exception.type",
        "http.method",
        "http.request.method",
        "http.response.status_code",
        "http.route",
        "http.status_code",
        "network.protocol.version",
        "network.transport",
        "url.scheme",
    }
)
"""Statements are ours and hold no values: those travel beside them."""

OF_OURS = ("cloudevents.", "messaging.", "spacehub.")
"""What we set ourselves: ids, names and counts."""

OF_CLIENTS = frozenset({"net.peer.name", "net.peer.port", "server.address", "server.port"})
"""Whom we asked. On a server's span the same names may tell of a caller."""


class Discreet(SpanExporter):
    """Another exporter, which gets to see no more than that."""

    def __init__(self, inner: SpanExporter) -> None:
        self._inner = inner

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export copies."""
        return self._inner.export([discreet(span) for span in spans])

    def shutdown(self) -> None:
        """As the other one does."""
        self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """As the other one does."""
        return self._inner.force_flush(timeout_millis)


def discreet(span: ReadableSpan) -> ReadableSpan:
    """A copy of `span` with what may be told of it."""
    ours = span.instrumentation_scope is not None and span.instrumentation_scope.name == SCOPE
    return ReadableSpan(
        name=span.name,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=_told(span.attributes, client=span.kind is SpanKind.CLIENT),
        events=[Event(event.name, _told(event.attributes, client=False), event.timestamp) for event in span.events],
        links=[Link(link.context, _told(link.attributes, client=False)) for link in span.links],
        kind=span.kind,
        status=span.status if ours else Status(span.status.status_code),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _told(attributes: Any, *, client: bool) -> dict[str, Any]:
    return {
        name: value
        for name, value in (attributes or {}).items()
        if name in HARMLESS or name.startswith(OF_OURS) or (client and name in OF_CLIENTS)
    }
