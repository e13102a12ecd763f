"""The log, on stderr: for people on a terminal, else one JSON object a line.

Libraries that log what they connect to are silenced, and the probe's own addresses and names are struck from
every line: a log is read by others.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Collection

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from measurements.redact import redact_text

_NOISY = ("httpx", "httpcore", "hpack", "h2", "uvicorn", "uvicorn.access", "uvicorn.error", "asyncio", "alembic")
_own: Callable[[], Collection[str]] = tuple


def configure(verbose: bool, *, for_people: bool) -> None:
    """Set up logging: warnings for people, what happens for machines, everything when `verbose`."""
    renderer: Processor = (
        structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
        if for_people
        else structlog.processors.JSONRenderer()
    )
    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info if verbose else _shorten_errors,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.PositionalArgumentsFormatter(), *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer, _strike],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.DEBUG if verbose else logging.WARNING if for_people else logging.INFO)
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in ("quic", "http3"):  # any peer can make them warn
        logging.getLogger(name).setLevel(logging.CRITICAL)
    logging.getLogger("apscheduler").setLevel(logging.CRITICAL)  # the agent says itself what became of a run


def strike(own: Callable[[], Collection[str]]) -> None:
    """From now on, take these addresses and names out of every line."""
    global _own
    _own = own


def struck(text: str) -> str:
    """Take them out of a text that is no line of the log."""
    return redact_text(text, _own())


def _shorten_errors(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    """Put an error in one word instead of a traceback, which `-v` shows."""
    told = event.pop("exc_info", None)
    if told:
        error = told if isinstance(told, BaseException) else told[1] if isinstance(told, tuple) else sys.exc_info()[1]
        event["error"] = type(error).__name__
    return event


def _strike(_logger: WrappedLogger, _name: str, text: object) -> str:
    return struck(str(text))
