"""Structured logs: one JSON object a line, ids and counts, never a phone number, token, code or text."""

import logging
import sys
import traceback
from types import TracebackType

import structlog

from spacehub.errors import Away, PermanentFailure, TemporaryFailure

ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]


def configure_logs(process: str, *, level: str = "INFO", to_terminal: bool = False) -> None:
    """Send everything, the libraries' lines too, to standard output as JSON (for a person: coloured lines)."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
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
    for noisy in ("aio_pika", "aiormq", "httpx", "uvicorn.access", "uvicorn.error", "alembic", "asyncio"):
        logging.getLogger(noisy).setLevel("WARNING")
    structlog.contextvars.bind_contextvars(process=process)


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
