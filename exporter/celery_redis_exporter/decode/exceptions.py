"""The class of an exception, from what Celery's events tell of it.

Events carry a repr (``KeyError('x')``), free text (``reject requeue=False: no reason``), or a wrapper that hides
the class, and a traceback whose last line names it.
"""

import re

from msgspec import Raw

from celery_redis_exporter.catalog import UNKNOWN
from celery_redis_exporter.decode.tolerance import cut_name

_CLASS = re.compile(r"[A-Za-z_][\w.]{0,200}(?=\()")
_LAST_LINE = re.compile(rb"([A-Za-z_][\w.]{0,200})(?::|$)")
_RETRY_CAUSE = re.compile(r"Retry\((?:Retry\(\.\.\.\)|None|'[^']*'|\"[^\"]*\"), ([A-Za-z_][\w.]{0,200})\(")
_UNREGISTERED = re.compile(r"NotRegistered\((['\"])(.+?)\1\)")

# Reprs that say nothing about the class: the pool's wrapper around a lost or killed process.
_WRAPPERS = {"ExceptionWithTraceback", "ExceptionInfo"}


def exception_class(exception: str | None, traceback: Raw | bytes = b"") -> str:
    """Give the class name without its module; ``Reject`` for a rejected task, UNKNOWN if it can't be told.

    ``traceback`` is the field as it came (JSON or msgpack), of which only the end is looked at.
    """
    text = exception or ""
    if text.startswith("reject requeue="):
        return "Reject"
    found = _CLASS.match(text)
    name = found.group() if found else ""
    if name == "Retry":  # gevent shows the Retry, prefork its cause
        cause = _RETRY_CAUSE.match(text)
        name = cause.group(1) if cause else name
    if not name or name.rpartition(".")[2] in _WRAPPERS:
        name = _class_in_traceback(bytes(traceback)[-4096:])
    return name.rpartition(".")[2] or UNKNOWN


def unregistered_name(exception: str | None) -> str | None:
    """Return the task name that a NotRegistered failure carries, cut if need be; None for any other exception."""
    found = _UNREGISTERED.fullmatch(exception or "")
    return cut_name(found.group(2)) if found else None


def _class_in_traceback(end: bytes) -> str:
    """The class that the last line of a traceback names; empty if it names none."""
    text = end.rstrip(b'"').replace(b"\\n", b"\n").rstrip(b"\n")
    _, newline, last = text.rpartition(b"\n")
    found = _LAST_LINE.match(last) if newline else None
    return found.group(1).decode() if found else ""
