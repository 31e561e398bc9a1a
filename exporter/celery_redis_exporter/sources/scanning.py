# SPDX-License-Identifier: Apache-2.0
"""Check the replies to SCAN: a cursor and names of keys. A server may send anything."""

from celery_redis_exporter.errors import SourceError
from celery_redis_exporter.sources.refusals import Refusal

FIRST_CURSOR = b"0"
MOST_DIGITS = 20
"""The maximum number of digits of a cursor, which is a number of 64 bits."""


def read_scan(reply: object) -> tuple[bytes, list[bytes]]:
    """Return the next cursor and the names. Raises SourceError if SCAN is refused, or the reply has another shape."""
    if isinstance(reply, Refusal):
        raise reply.as_error("SCAN")
    match reply:
        case [bytes(cursor), list(names)] if cursor.isdigit() and len(cursor) <= MOST_DIGITS:
            return cursor, [name for name in names if isinstance(name, bytes)]
    raise SourceError("protocol", "SCAN: an answer without cursor and names")
