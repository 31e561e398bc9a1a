# SPDX-License-Identifier: Apache-2.0
"""Configure logs: one line per event, JSON or console, for the exporter's own loggers and every library's.

Input: the level, the format and the secrets. Output: configured loggers. Secrets and the variables of frames are never
printed. Only this module calls ``structlog.configure``.
"""

import logging
import math
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import TextIO

import structlog
from structlog.types import EventDict, Processor, WrappedLogger

from celery_redis_exporter.clock import Clock, SystemClock

LIMIT = 20
WINDOW = 60.0
KINDS_HELD = 1000
MASK = "***"


class SecretMask:
    """Replace every secret text in any value, at any depth, by ``***``.

    ``secrets`` returns the current secrets.
    """

    def __init__(self, secrets: Callable[[], Sequence[str]]) -> None:
        self._secrets = secrets

    def __call__(self, logger: WrappedLogger, method: str, event_dict: EventDict) -> EventDict:
        """Return the line without secrets in its values."""
        # The longest come first: a URL has to be replaced as a whole before its password is.
        secrets = sorted({form for secret in self._secrets() for form in _forms(secret)} - {""}, key=len, reverse=True)
        return {key: self._mask(value, secrets) for key, value in event_dict.items()}

    def _mask(self, value: object, secrets: Sequence[str]) -> object:
        match value:
            case None | bool() | int():
                return value
            case float():
                return value if math.isfinite(value) else str(value)
            case Mapping():
                return {_clean(str(key), secrets): self._mask(inner, secrets) for key, inner in value.items()}
            case list() | tuple() | set() | frozenset():
                return [self._mask(inner, secrets) for inner in value]
            case _:
                return _clean(value if isinstance(value, str) else repr(value), secrets)


def _forms(secret: str) -> Iterator[str]:
    """Yield a secret as it is, and as it is in the repr of text or of bytes, which messages of libraries contain."""
    yield secret
    yield repr(secret)[1:-1]
    yield repr(secret.encode("utf-8", "surrogateescape"))[2:-1]


def _clean(text: str, secrets: Sequence[str]) -> str:
    for secret in secrets:
        text = text.replace(secret, MASK)
    return text


class RateLimit:
    """Drop lines of one event and level beyond ``limit`` in ``window`` seconds, and count them.

    The next line of that kind which passes contains ``suppressed=<n>``.
    """

    def __init__(self, clock: Clock, limit: int = LIMIT, window: float = WINDOW) -> None:
        self._clock, self._limit, self._window = clock, limit, window
        self._seen: dict[tuple[str, str], tuple[float, int]] = {}

    def __call__(self, logger: WrappedLogger, method: str, event_dict: EventDict) -> EventDict:
        """Return the line, or raise DropEvent."""
        kind = (str(event_dict.get("level", method)), str(event_dict.get("event", "")))
        now = self._clock.monotonic()
        start, count = self._seen.get(kind, (now, 0))
        suppressed = 0
        if now - start >= self._window:
            suppressed, start, count = max(0, count - self._limit), now, 0
        if len(self._seen) >= KINDS_HELD and kind not in self._seen:
            self._seen.clear()
        self._seen[kind] = (start, count + 1)
        if count >= self._limit:
            raise structlog.DropEvent
        if suppressed:
            event_dict["suppressed"] = suppressed
        return event_dict


def configure(
    level: str,
    format: str,  # noqa: A002 -- the word of the setting
    stream: TextIO | None = None,
    secrets: Callable[[], Sequence[str]] = tuple,
    clock: Clock | None = None,
) -> None:
    """Send every log line of the process to ``stream`` (standard error by default).

    ``level`` is debug, info, warning or error. ``format`` is json, console or auto (console on a terminal). ``secrets``
    is called for each line, because a password may change.
    """
    stream = stream or sys.stderr
    terminal = stream.isatty()
    limit = RateLimit(clock or SystemClock())
    bridge = structlog.stdlib.ProcessorFormatter.wrap_for_formatter
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *_shared(), limit, bridge],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    console = format == "console" or (format == "auto" and terminal)
    steps = _last(SecretMask(secrets), console=console, colors=terminal)
    handler = logging.StreamHandler(stream)
    handler.addFilter(_ForeignLimit(limit))
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=[*_shared(), _add_suppressed], processors=steps)
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    set_level(level)
    logging.captureWarnings(capture=True)
    # A line that can't be written must neither stop the daemon nor show its arguments unmasked.
    logging.raiseExceptions = False
    # An exception that ends a thread, or the process, is logged. Python would print it unmasked.
    sys.excepthook = _log_crash
    threading.excepthook = lambda crash: _log_crash(crash.exc_type, crash.exc_value, crash.exc_traceback)
    # Another library's logger of this name prints every message that a worker pushes.
    logging.getLogger("push_response").disabled = True


def set_level(level: str) -> None:
    """Set the lowest level that is logged: debug, info, warning or error."""
    logging.getLogger().setLevel(level.upper())


def _log_crash(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):  # A user interrupted the process. The exception has no message to mask.
        sys.__excepthook__(kind, error or kind(), trace)
        return
    structlog.get_logger(__name__).critical("process.crashed", exc_info=(kind, error, trace))


class _ForeignLimit(logging.Filter):
    """Apply the rate limit to the lines of libraries, by their unformatted message."""

    def __init__(self, limit: RateLimit) -> None:
        super().__init__()
        self._limit = limit

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.msg, dict):
            return True
        try:
            limited = self._limit(None, record.levelname.lower(), {"event": record.msg})
        except structlog.DropEvent:
            return False
        record.suppressed = limited.get("suppressed")
        return True


def _add_suppressed(logger: WrappedLogger, method: str, event_dict: EventDict) -> EventDict:
    if suppressed := getattr(event_dict["_record"], "suppressed", None):
        event_dict["suppressed"] = suppressed
    return event_dict


def _in_order(logger: WrappedLogger, method: str, event_dict: EventDict) -> EventDict:
    first = {key: event_dict[key] for key in ("timestamp", "level", "event", "logger") if key in event_dict}
    return {**first, **event_dict}


def _shared() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]


def _last(mask: SecretMask, *, console: bool, colors: bool) -> list[Processor]:
    """Return the processors that render a line. Exceptions become text before the mask, and without frame locals."""
    steps: list[Processor] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.format_exc_info,
        mask,
    ]
    if console:
        return [*steps, structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=structlog.dev.plain_traceback)]
    return [*steps, _in_order, structlog.processors.JSONRenderer()]
