"""Logging: structured records; JSON lines for machines, short lines for people."""

import logging
import sys
from contextlib import AbstractContextManager
from typing import Literal

import structlog
from structlog.contextvars import bound_contextvars
from structlog.typing import Processor

from chargehand.domain.known_secrets import taken_out


def telling(**ids: str | int) -> AbstractContextManager[None]:
    """Every line that is logged inside, ours and the libraries', carries these: a request's id, a task's id."""
    return bound_contextvars(**ids)


def configure_logging(
    level: str, style: Literal["auto", "json", "console"], handler: logging.Handler | None = None
) -> None:
    """Send every log record, ours and the libraries', to standard error (or to `handler`) in one form."""
    as_json = style == "json" or (style == "auto" and (handler is not None or not sys.stderr.isatty()))
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info if as_json else structlog.processors.StackInfoRenderer(),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    renderer: Processor = (
        structlog.processors.JSONRenderer()
        if as_json
        else structlog.dev.ConsoleRenderer(
            pad_event_to=30,
            # The pretty form shows local variables, and with them what must not be logged.
            exception_formatter=structlog.dev.plain_traceback,
        )
    )
    handler = handler or logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                renderer,
                _without_secrets,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    # It tells each plugin that it loads, at every first start.
    logging.getLogger("alembic").setLevel(logging.WARNING)


def _without_secrets(logger: object, method: str, line: object) -> str:
    """The line as it will stand in the log: whatever part of it a secret came in by."""
    del logger, method
    return taken_out(str(line))
