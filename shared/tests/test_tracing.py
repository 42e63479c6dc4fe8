"""Traces: nothing when nobody asked for them, a span for each event of a batch, and nothing private ever leaves."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from threading import Event as Flag

import aiohttp
import asyncpg
import httpx
import pytest
from aiormq.abc import DeliveredMessage
from fastapi import FastAPI
from opentelemetry.instrumentation.asyncpg import AsyncPGInstrumentor
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind
from pydantic import ValidationError
from spacehub.consuming.settling import Handler, settle
from spacehub.errors import PermanentFailure
from spacehub.events import cause, envelope
from spacehub.events.cause import Cause, because_of
from spacehub.events.envelope import Event
from spacehub.events.facts import BillCancelled
from spacehub.rabbit import Publisher
from spacehub.settings import TraceSettings
from spacehub.testing.broker import Broker, ids_of
from spacehub.testing.raw_server import Line, raw_server
from spacehub.testing.serving import served
from spacehub.topology import WorkQueue
from spacehub.tracing import spans
from spacehub.tracing.exporting import provider_of
from spacehub.tracing.recording import Recorder

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
ROOT = "00f067aa0ba902b7"
TOLD = f"00-{TRACE}-{ROOT}-01"
SECRET = "99112233"


@dataclass(frozen=True)
class Recorded:
    """What a process exports."""

    provider: TracerProvider
    exporter: InMemorySpanExporter

    def spans(self) -> list[ReadableSpan]:
        self.provider.force_flush()
        return list(self.exporter.get_finished_spans())

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.spans() if span.name == name]


@pytest.fixture
def recorded() -> Iterator[Recorded]:
    """Tracing is on while the test runs."""
    exporter = InMemorySpanExporter()
    provider = provider_of("test consume", exporter)
    spans.use(Recorder(provider))
    yield Recorded(provider, exporter)
    spans.use(None)
    provider.shutdown()


def event(number: str = "e-1", traceparent: str | None = TOLD) -> Event:
    return Event(number, "/billing", BillCancelled(bill_id="A-1"), traceparent=traceparent)


def ids(span: ReadableSpan) -> tuple[str, str | None]:
    """The trace and the parent's id."""
    assert span.context is not None
    return f"{span.context.trace_id:032x}", f"{span.parent.span_id:016x}" if span.parent else None


@pytest.mark.parametrize(
    ("variables", "exporter"),
    [
        ({}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, "otlp"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318/v1/traces"}, "otlp"),
        ({"OTEL_TRACES_EXPORTER": "console"}, "console"),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, "otlp"),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, None),
        ({"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, None),
    ],
)
def test_standard_variables_switch_traces_on(
    variables: dict[str, str], exporter: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    assert TraceSettings().exporter == exporter


@pytest.mark.parametrize(
    ("name", "value"), [("OTEL_TRACES_EXPORTER", "zipkin"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")]
)
def test_what_cannot_be_done_is_said_at_the_start(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(ValidationError, match=name.lower()):
        TraceSettings()


def test_a_process_without_an_exporter_loads_nothing_of_opentelemetrys_sdk() -> None:
    program = """
import os, sys
from spacehub import telemetry
from spacehub.settings import ProcessSettings, TraceSettings
import spacehub.consuming.subscription, spacehub.forwarder, spacehub.running
telemetry.configure("quiet consume", ProcessSettings(amqp_url="amqp://x", health_port=1), TraceSettings())
rooms = {name.split(".")[1] for name in sys.modules if name.startswith("opentelemetry.")}
print(sorted(rooms & {"sdk", "exporter", "instrumentation", "proto"}))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env={"PATH": ""})

    assert done.stdout == "[]\n"


def test_spans_that_are_off_pass_everything_by() -> None:
    with spans.span("attempt", number=1) as traceparent, spans.together([None]), spans.within(TOLD):
        assert traceparent is None
    assert spans.handling(event(), queue="q", attempts=0) is None
    assert spans.of_calls() == []
    assert spans.current_trace_id() is None


def test_what_is_written_belongs_to_the_trace_of_the_event_at_hand() -> None:
    with because_of(Cause("e-1", TOLD)):
        lent = envelope.write(event(traceparent=None))
        own = envelope.write(event(traceparent=TOLD.replace("4bf", "aaa")))
    after = envelope.write(event(traceparent=None))

    assert [cause.traceparent_in(message.body) for message in (lent, own, after)] == [
        TOLD,
        TOLD.replace("4bf", "aaa"),
        None,
    ]


@pytest.mark.parametrize("text", ["", "00", TOLD.upper(), TOLD + "-x", "ff" + TOLD[2:], TOLD.replace(TRACE, "0" * 32)])
def test_what_is_no_traceparent_names_no_trace(text: str) -> None:
    assert cause.trace_id_of(text) is None
    assert cause.trace_id_of(TOLD) == TRACE


@pytest.mark.parametrize(
    ("own", "header", "read"),
    [(None, TOLD, TOLD), ("own", TOLD, "own"), (None, "gibberish", None), (None, 7, None), (None, None, None)],
)
def test_the_header_that_instrumentations_add_serves_an_event_that_names_no_trace(
    own: str | None, header: object, read: str | None
) -> None:
    message = envelope.write(event(traceparent=own))

    found = envelope.read(message.body, content_type=message.content_type, headers={"traceparent": header})

    assert found.traceparent == read


def test_a_traceparent_in_the_data_is_not_the_events() -> None:
    message = envelope.write(Event("e", "/x", BillCancelled(bill_id=f'","traceparent":"{TOLD}'[:64])))

    assert cause.traceparent_in(message.body) is None


class Session:
    """A session in which messages are acked, and no more."""

    is_lost = False

    async def ack(self, message: DeliveredMessage) -> None: ...


async def handle_together(
    broker: Broker, publisher: Publisher, handle: Handler, *traceparents: str | None
) -> tuple[WorkQueue, list[str]]:
    """One batch with an event for each of `traceparents`, brought to its end; its queue, and what then lies in it and
    among its dead letters."""
    queue = await broker.work_queue()
    for number, traceparent in enumerate(traceparents):
        message = envelope.write(event(f"e-{number}", traceparent))
        await broker.put(queue.name, message.body, message_id=message.id, content_type=message.content_type)
    await broker.holds(queue.name, len(traceparents))
    await settle(
        await broker.take(queue.name),
        queue=queue,
        handle=handle,
        exhausted=None,
        session=Session(),
        publisher=publisher,
        stopping=asyncio.Event(),
    )
    return queue, [str(number) for number in ids_of(await broker.take(queue.dead))]


async def test_each_event_of_a_batch_has_a_span_of_its_own_in_its_own_trace(
    recorded: Recorded, broker: Broker, publisher: Publisher
) -> None:
    traces = [f"{number:032x}" for number in (1, 2, 3)]
    seen: list[Event] = []

    async def handle(events: Sequence[Event]) -> None:
        seen.extend(events)
        assert cause.current() is None
        assert spans.current_trace_id() == traces[0]

    queue, _ = await handle_together(broker, publisher, handle, *(TOLD.replace(TRACE, trace) for trace in traces))

    handled = recorded.named(f"process {queue.name}")
    first, *others = handled
    assert [ids(span) for span in handled] == [(trace, ROOT) for trace in traces]
    assert [one.traceparent for one in seen] == [f"00-{ids(span)[0]}-{id_of(span)}-01" for span in handled]
    assert [link.context.trace_id for span in others for link in span.links] == [1, 1]
    assert not first.links


async def test_an_event_that_fails_alone_keeps_its_span_and_says_why(
    recorded: Recorded, broker: Broker, publisher: Publisher
) -> None:
    async def handle(events: Sequence[Event]) -> None:
        if any(one.id == "e-1" for one in events):
            raise PermanentFailure("not_for_us")

    queue, dead = await handle_together(broker, publisher, handle, TOLD, TOLD, TOLD)

    handled = recorded.named(f"process {queue.name}")
    assert dead == ["e-1"]
    fates = {
        span.attributes["cloudevents.event_id"]: span.attributes["spacehub.fate"] for span in handled if span.attributes
    }
    assert fates == {"e-0": "done", "e-1": "dead", "e-2": "done"}
    assert [span.status.description for span in handled if not span.status.is_unset] == ["not_for_us"]


async def test_an_event_without_a_trace_begins_one_and_an_event_alone_is_at_hand(
    recorded: Recorded, broker: Broker, publisher: Publisher
) -> None:
    seen: list[Cause | None] = []

    async def handle(events: Sequence[Event]) -> None:
        seen.append(cause.current())

    queue, _ = await handle_together(broker, publisher, handle, "gibberish")

    [span] = recorded.named(f"process {queue.name}")
    assert span.parent is None
    assert seen == [Cause("e-0", f"00-{ids(span)[0]}-{id_of(span)}-01")]


async def test_statements_show_in_the_trace_without_values_and_begin_none(recorded: Recorded, database: str) -> None:
    instrumentor = AsyncPGInstrumentor()  # type: ignore[no-untyped-call]
    instrumentor.instrument(tracer_provider=recorded.provider)
    try:
        connection = await asyncpg.connect(database)
        await connection.execute("SELECT 1")
        await connection.execute("CREATE TABLE phones (phone text PRIMARY KEY)")
        with spans.within(TOLD):
            await connection.execute("INSERT INTO phones VALUES ($1)", SECRET)
            with pytest.raises(asyncpg.UniqueViolationError):
                await connection.execute("INSERT INTO phones VALUES ($1)", SECRET)
        await connection.close()
    finally:
        instrumentor.uninstrument()

    assert [(span.name, *ids(span)) for span in recorded.spans()] == [("INSERT", TRACE, ROOT)] * 2
    told = "".join(span.to_json() for span in recorded.spans())
    assert "INSERT INTO phones VALUES ($1)" in told
    assert "exception.type" in told
    assert SECRET not in told


async def test_an_api_tells_the_route_and_not_the_path_nor_the_query_nor_the_caller(recorded: Recorded) -> None:
    app = FastAPI()

    @app.get("/devices/{token}")
    async def device(token: str) -> str:
        raise ValueError(token)

    @app.get("/readyz")
    async def readyz() -> str:
        return "ok"

    async with served(app) as url, httpx.AsyncClient(base_url=url, headers={"User-Agent": SECRET}) as client:
        await client.get("/readyz")
        with pytest.raises(AssertionError):
            assert (await client.get(f"/devices/{SECRET}?phone={SECRET}", headers={"traceparent": TOLD})).is_success
        await client.get(f"/{SECRET}")

    found = recorded.spans()
    assert [span.name for span in found] == ["GET /devices/{token}", "GET"]
    assert ids(found[0]) == (TRACE, ROOT)
    told = "".join(span.to_json() for span in found)
    assert SECRET not in told
    assert '"client.address"' not in told
    assert '"http.route": "/devices/{token}"' in told


@pytest.mark.parametrize("kind", list(SpanKind))
def test_of_a_librarys_span_nothing_leaves_but_what_is_known_to_be_harmless(recorded: Recorded, kind: SpanKind) -> None:
    private = (
        "url.path",
        "url.query",
        "url.full",
        "http.target",
        "http.url",
        "client.address",
        "enduser.id",
        "db.user",
    )
    library = recorded.provider.get_tracer("some.library")

    with (
        pytest.raises(ValueError, match=SECRET),
        spans.within(TOLD),
        library.start_as_current_span(
            "GET", kind=kind, attributes={**dict.fromkeys(private, SECRET), "http.route": "/"}
        ),
    ):
        raise ValueError(SECRET)

    [span] = recorded.spans()
    assert span.attributes == {"http.route": "/"}
    assert (span.status.is_ok, span.status.description) == (False, None)
    assert [dict(told.attributes or {}) for told in span.events] == [{"exception.type": "ValueError"}]


async def test_a_call_out_of_the_house_has_a_span_and_tells_the_stranger_nothing_of_it(recorded: Recorded) -> None:
    async def answer(line: Line) -> None:
        await line.read_request()
        await line.reply("200 OK")

    async with raw_server(answer) as server, aiohttp.ClientSession(trace_configs=spans.of_calls()) as session:
        with spans.within(TOLD):
            async with session.post(f"{server.url}/sms?to={SECRET}", data=b"text"):
                pass

    [span] = recorded.spans()
    assert (span.kind, *ids(span)) == (SpanKind.CLIENT, TRACE, ROOT)
    assert SECRET not in span.to_json()
    assert (span.attributes or {})["server.address"] == "127.0.0.1"
    assert b"traceparent" not in server.requests[0].lower()


def test_a_fault_is_told_by_its_class_alone(recorded: Recorded) -> None:
    with pytest.raises(ValueError, match=SECRET), spans.within(TOLD), spans.span("attempt", number=1):
        raise ValueError(SECRET)

    [span] = recorded.spans()
    assert span.status.description == "ValueError"
    assert SECRET not in span.to_json()


async def test_a_collector_that_does_not_answer_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    class Deaf(SpanExporter):
        hung_up = Flag()

        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            self.hung_up.wait()
            return SpanExportResult.FAILURE

    monkeypatch.setattr(spans, "FLUSH", 0.05)
    spans.use(Recorder(provider_of("test consume", Deaf())))
    try:
        with spans.span("attempt"):
            pass
        async with asyncio.timeout(15):  # the SDK itself would wait for 30 s
            await asyncio.to_thread(spans.finish)
    finally:
        Deaf.hung_up.set()
        spans.use(None)


def id_of(span: ReadableSpan) -> str:
    assert span.context is not None
    return f"{span.context.span_id:016x}"
