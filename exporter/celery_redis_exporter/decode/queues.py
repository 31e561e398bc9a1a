# SPDX-License-Identifier: Apache-2.0
"""Decode replies about Celery's queues on Redis: bindings, messages, delivery times."""

import math
import re

import msgspec

from celery_redis_exporter.decode.envelope import MALFORMED
from celery_redis_exporter.decode.tolerance import Repairs, TolerantDecoder
from celery_redis_exporter.errors import DecodeError
from celery_redis_exporter.records.events import Text, Timestamp
from celery_redis_exporter.records.replies import Binding, QueuedMessage

SEPARATOR = "\x06\x16"
"""kombu's separator if the transport option ``sep`` is not set."""
LONGEST_GUESS = 1024
"""The number of bytes of a binding that are searched for its separator."""
_PARTS = 3
# A queue that is bound by its own name, as Celery binds it: "mail", separator, no pattern, separator, "mail".
_OWN_NAME = re.compile(r"(.+?)([^\w\s]{1,4})\2\1", re.DOTALL)
# Exchanges and queues of Celery's own traffic: remote control, its replies, events.
INTERNAL_SUFFIXES = (".pidbox",)


_NOT_THERE = msgspec.Raw()


class _Headers(msgspec.Struct):
    """Headers of a message. deploy/celery_events.py adds ``published_at``, but others may use the name for anything."""

    id: Text | None = None
    published_at: msgspec.Raw = _NOT_THERE


class _Properties(msgspec.Struct):
    correlation_id: Text | None = None


class _Message(msgspec.Struct):
    """A queued task message. Its body (the arguments) is not decoded."""

    headers: _Headers | None = None
    properties: _Properties | None = None


_TOLERANT = TolerantDecoder(msgspec.json.Decoder)
_decode_message = msgspec.json.Decoder(_Message).decode
_decode_timestamp = msgspec.json.Decoder(Timestamp).decode


def decode_binding(member: bytes, event_exchange: str, separator: str = SEPARATOR) -> Binding | None:
    """Decode one member of ``_kombu.binding.EXCHANGE``: routing key, pattern, queue. Return None for internal queues.

    It is split by kombu's own separator, or else by ``separator``, the transport option ``sep``, because names contain
    kombu's separator less often. Raises DecodeError (``binding``) if neither yields three parts.
    """
    try:
        text = member.decode()
    except UnicodeDecodeError as error:
        raise DecodeError("binding", f"not UTF-8: {error}") from None
    for candidate in (SEPARATOR, separator):
        parts = text.split(candidate)
        if len(parts) == _PARTS and parts[-1]:
            routing_key, pattern, queue = parts
            return None if is_internal(queue, event_exchange) else Binding(routing_key, pattern, queue, candidate)
    raise DecodeError("binding", "not a binding of kombu's with this separator")


def guess_separator(member: bytes) -> str | None:
    """Return the separator of a binding that ``decode_binding`` refuses, if its queue is bound by its own name."""
    found = _OWN_NAME.fullmatch(member[:LONGEST_GUESS].decode("utf-8", "replace"))
    return found.group(2) if found else None


def is_internal(queue: str, event_exchange: str) -> bool:
    """Return True if a queue or exchange carries Celery's own traffic instead of tasks."""
    return queue.endswith(INTERNAL_SUFFIXES) or queue == event_exchange or queue.startswith(f"{event_exchange}.")


def decode_queued(message: bytes) -> QueuedMessage:
    """Return the task id of a queued message, and when it was published if a header contains the time.

    Raises DecodeError (``body``) if the message is not one of a Celery task.
    """
    try:
        try:
            decoded = _decode_message(message)
        except msgspec.ValidationError:  # A field has another type, for example an id that is not text.
            decoded = _TOLERANT.read(_Message, message, Repairs())
    except MALFORMED as error:
        raise DecodeError("body", f"not a task message: {error}") from None
    headers = decoded.headers or _Headers()
    found = headers.id or (decoded.properties and decoded.properties.correlation_id)
    if not found:
        raise DecodeError("body", "a message without task id")
    return QueuedMessage(found, _published_at(headers.published_at))


def _published_at(header: msgspec.Raw) -> float | None:
    if header is _NOT_THERE:
        return None
    try:
        return _decode_timestamp(header)
    except msgspec.DecodeError:  # The header comes from another program.
        return None


def decode_oldest_delivery(reply: object) -> float | None:
    """Return the delivery time (epoch seconds) in ZRANGE unacked_index 0 0 WITHSCORES, or None if there is none."""
    match reply:
        case [bytes(), bytes(score)]:
            try:
                delivered = float(score)
            except ValueError:
                return None
            return delivered if math.isfinite(delivered) else None
    return None
