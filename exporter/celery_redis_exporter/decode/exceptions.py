# SPDX-License-Identifier: Apache-2.0
"""Read the class of an exception from the fields of Celery's events.

Events contain a repr (``KeyError('x')``), free text (``reject requeue=False: no reason``), or a wrapper that hides the
class, and a traceback that names it (``decode.tracebacks``).
"""

import re

from msgspec import Raw

from celery_redis_exporter.catalog import UNKNOWN
from celery_redis_exporter.decode.tolerance import cut_name
from celery_redis_exporter.decode.tracebacks import class_in_traceback

_CLASS = re.compile(r"[A-Za-z_][\w.]{0,200}(?=\()")
_RETRY_CAUSE = re.compile(r"Retry\((?:Retry\(\.\.\.\)|None|'[^']*'|\"[^\"]*\"), ([A-Za-z_][\w.]{0,200})\(")
_UNREGISTERED = re.compile(r"NotRegistered\((['\"])(.+?)\1\)")

# These reprs do not name the class: wrappers of the pool, and Celery's for a Retry's cause that can't be pickled.
_WRAPPERS = {"ExceptionWithTraceback", "ExceptionInfo", "UnpickleableExceptionWrapper"}


def exception_class(exception: str | None, traceback: Raw | bytes = b"") -> str:
    """Return the class name without its module, ``Reject`` for a rejected task, or UNKNOWN if no field names the class.

    ``traceback`` is the field as it was received (JSON or msgpack). It is read only if ``exception`` names no class.
    """
    text = exception or ""
    if text.startswith("reject requeue="):
        return "Reject"
    found = _CLASS.match(text)
    name = fallback = found.group() if found else ""
    if name == "Retry":  # The event contains the Retry with gevent, but its cause with prefork.
        cause = _RETRY_CAUSE.match(text)
        name = cause.group(1) if cause else ""
    if not name or name.rpartition(".")[2] in _WRAPPERS:
        name = class_in_traceback(traceback)
    if not name and fallback == "Retry":
        return fallback
    return name.rpartition(".")[2] or UNKNOWN


def unregistered_name(exception: str | None) -> str | None:
    """Return the task name in a NotRegistered failure, cut if it is too long, or None for any other exception."""
    found = _UNREGISTERED.fullmatch(exception or "")
    return cut_name(found.group(2)) if found else None
