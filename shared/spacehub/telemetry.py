"""What a process tells of itself: logs as one JSON object a line, and traces where it is told where to send them.

Ids and counts, never a phone number, token, code or text.
"""

import logging
import sys
import traceback
from types import TracebackType

import structlog

from spacehub.errors import Away, PermanentFailure, TemporaryFailure
from spacehub.events import cause
from spacehub.settings import ProcessSettings, TraceSettings
from spacehub.tracing import spans

ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]


def configure(process: str, settings: ProcessSettings, traces: TraceSettings) -> None:
    """Once a process, before it does anything: its logs, and its traces if an exporter is configured."""
    configure_logs(process, level=settings.log_level, to_terminal=settings.log_to_terminal)
    if (exporter := traces.exporter) is not None:
        from spacehub.tracing import exporting  # a fifth of a second and some megabytes: for those who want it

        spans.use(exporting.start(process, exporter))


def configure_logs(process: str, *, level: str = "INFO", to_terminal: bool = False) -> None:
    """Send everything, the libraries' lines too, to standard output as JSON (for a person: coloured lines)."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        _add_cause,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    renderer: list[structlog.typing.Processor] = (
        [structlog.dev.ConsoleRenderer()]
        if to_terminal
        else [structlog.processors.ExceptionRenderer(_traceback), structlog.processors.JSONRenderer(ensure_ascii=False)]
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for noisy in (
        "aio_pika",
        "aiormq",
        "httpx",
        "uvicorn.access",
        "uvicorn.error",
        "alembic",
        "asyncio",
        "opentelemetry",
    ):
        logging.getLogger(noisy).setLevel("WARNING")
    structlog.contextvars.bind_contextvars(process=process)


def _add_cause(_: object, __: str, line: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Every line about an event says which, and which trace it belongs to."""
    at_hand = cause.current()
    if at_hand is None:
        trace_id = spans.current_trace_id()
    else:
        trace_id = cause.trace_id_of(at_hand.traceparent)
        line.setdefault("event_id", at_hand.event_id)
        if at_hand.source_id is not None:
            line.setdefault("source_id", at_hand.source_id)
    if trace_id is not None:
        line.setdefault("trace_id", trace_id)
    return line


def _traceback(exc_info: ExcInfo) -> str:
    """Where a fault came from and of which class it is, with all that led to it; its words only when they are ours.

    A library's words quote what it could not handle: an argument of a statement, a value that did not validate.
    """
    chain: list[BaseException] = []
    fault: BaseException | None = exc_info[1]
    while fault is not None and fault not in chain:
        chain.insert(0, fault)
        fault = fault.__cause__ or (None if fault.__suppress_context__ else fault.__context__)
    return "\n\nwhich led to:\n\n".join(map(_told, chain))


def _told(fault: BaseException) -> str:
    words = f": {fault}" if isinstance(fault, Away | PermanentFailure | TemporaryFailure | OSError) else ""
    kind = type(fault)
    return "".join(traceback.format_tb(fault.__traceback__)) + f"{kind.__module__}.{kind.__qualname__}{words}"
