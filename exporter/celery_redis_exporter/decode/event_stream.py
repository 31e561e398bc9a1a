# SPDX-License-Identifier: Apache-2.0
"""Decode Celery's events as kombu publishes them: on Redis a JSON envelope around a base64 body, elsewhere the body.

The envelope is the same for every serializer. The body is one event, or a list of events: workers with an event loop
send even a single task event as a list. The type of an event is its field ``type``, never the channel. Only the fields
of the records are decoded. Arguments and results are skipped, and pickle is never loaded.
"""

from collections.abc import Callable, Sequence
from typing import Any, Union

import msgspec
from msgspec import Raw

from celery_redis_exporter.decode.envelope import JSON, MALFORMED, open_envelope
from celery_redis_exporter.decode.tolerance import Repairs, TolerantDecoder, repair_json
from celery_redis_exporter.errors import DecodeError
from celery_redis_exporter.records.events import (
    EVENT_CLASSES,
    Broken,
    Event,
    EventMessage,
    Part,
    Repaired,
    UnknownEvent,
)

_ANY_EVENT: Any = Union[tuple(EVENT_CLASSES)]  # noqa: UP007 -- made from a list
_KINDS = {kind.__struct_config__.tag: kind for kind in EVENT_CLASSES}


class _Serializer:
    """Decoders for one serializer: a body, one event, any syntax, and the tolerant one for lists and fields."""

    def __init__(self, decoder: Any) -> None:  # noqa: ANN401 -- msgspec's two Decoders
        self.body: Callable[[bytes], list[Event] | Event] = decoder(list[_ANY_EVENT] | _ANY_EVENT).decode
        self.one: Callable[[bytes | Raw], Event] = decoder(_ANY_EVENT).decode
        self.syntax: Callable[[bytes], Raw] = decoder(Raw).decode
        self.tolerant = TolerantDecoder(decoder)


_SERIALIZERS = {
    JSON: _Serializer(msgspec.json.Decoder),
    "application/x-msgpack": _Serializer(msgspec.msgpack.Decoder),
}


def decode_message(payload: Any, unwrap: Callable[[Any], tuple[bytes, str]] = open_envelope) -> Sequence[Part]:  # noqa: ANN401 -- what ``unwrap`` takes
    """Decode one published message into its parts, in order: events, and records of parts that could not be decoded.

    ``unwrap`` returns body and content type of ``payload``. Raises DecodeError if nothing can be used: ``envelope``
    (not kombu's), ``serializer`` (not supported, above all pickle), ``body`` (neither an event nor a list).
    """
    body, content_type = unwrap(payload)
    serializer = _SERIALIZERS.get(content_type)
    if serializer is None:
        raise DecodeError("serializer", f"events in {content_type[:100]!r} are not read")
    try:
        found = serializer.body(body)
    except MALFORMED:
        return _salvage(serializer, body)
    return found if isinstance(found, list) else [found]


def decode_event_message(message: EventMessage) -> Sequence[Part]:
    """Decode a message without envelope. Raises DecodeError (``serializer``, ``body``)."""
    return decode_message(message, lambda opened: opened)


def _salvage(serializer: _Serializer, body: bytes) -> list[Part]:
    """Decode a body that the strict decoder refuses: one event, or a list that contains other things too."""
    try:
        return _decode_parts(serializer, body)
    except DecodeError:
        repaired = _repair(serializer, body)
        if repaired is None:
            raise
    return _decode_parts(serializer, repaired)


def _decode_parts(serializer: _Serializer, body: bytes) -> list[Part]:
    try:
        return [_decode_part(serializer, part) for part in serializer.tolerant.items(body)]
    except MALFORMED:
        part = _decode_part(serializer, body)
    if isinstance(part, Broken):
        raise DecodeError("body", "neither an event nor a list of events")
    return [part]


def _decode_part(serializer: _Serializer, part: bytes | Raw) -> Part:
    try:
        return serializer.one(part)
    except MALFORMED:
        pass
    repairs = Repairs()
    try:
        fields = serializer.tolerant.fields(part)
        kind = _KINDS.get(serializer.tolerant.text(fields.get("type", Raw())))
        if kind is None:
            return UnknownEvent()
        event: Any = serializer.tolerant.build(kind, fields, repairs)
    except MALFORMED:
        return Broken("schema")
    return Repaired(event, repairs.cut, tuple(repairs.ignored)) if repairs.cut or repairs.ignored else event


def _repair(serializer: _Serializer, body: bytes) -> bytes | None:
    """Return the body as standard JSON, if only its syntax is wrong and Python can read it, else None."""
    if serializer is not _SERIALIZERS[JSON]:
        return None
    try:
        serializer.syntax(body)
    except MALFORMED:
        try:
            return repair_json(body)
        except (ValueError, RecursionError):
            pass
    return None
