"""Celery's events as kombu publishes them: on Redis a JSON envelope around a base64 body, elsewhere the body itself.

The envelope is the same for every serializer. The body is one event, or a list of events: workers with an event
loop send even a single task event as a list. Events are told apart by their own ``type``, never by the channel.
Only the fields of the records are decoded; arguments and results are skipped unread, and pickle is never loaded.
"""

from collections.abc import Callable, Sequence
from typing import Any, Union

import msgspec
from msgspec import Raw

from celery_redis_exporter.decode.envelope import JSON, MALFORMED, open_envelope
from celery_redis_exporter.decode.tolerance import Repairs, TolerantDecoder, mend_json
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
    """Decoders for one serializer: a body, one event, the parts of a list, any syntax, and the fields of an event."""

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
    """Decode one published message into its parts, in order: events, and what stands among them that is none.

    Raises DecodeError when nothing of it can be used: ``envelope`` (not kombu's), ``serializer`` (one that is not
    read, pickle above all), ``body`` (neither an event nor a list).
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
    """Decode the same where there is no envelope; raise DecodeError (``serializer``, ``body``)."""
    return decode_message(message, lambda told: told)


def _salvage(serializer: _Serializer, body: bytes) -> list[Part]:
    """Decode a body that is no clean list of known events: a single event, or a list with others among them."""
    try:
        return _decode_parts(serializer, body)
    except DecodeError:
        mended = _mend(serializer, body)
        if mended is None:
            raise
    return _decode_parts(serializer, mended)


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


def _mend(serializer: _Serializer, body: bytes) -> bytes | None:
    """Return the body as JSON, if only its syntax is wrong and Python would read it."""
    if serializer is not _SERIALIZERS[JSON]:
        return None
    try:
        serializer.syntax(body)
    except MALFORMED:
        try:
            return mend_json(body)
        except (ValueError, RecursionError):
            pass
    return None
