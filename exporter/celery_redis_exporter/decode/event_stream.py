"""Celery's events as kombu publishes them: on Redis a JSON envelope around a base64 body, elsewhere the body itself.

The envelope is the same for every serializer. The body is one event, or a list of events: workers with an event
loop send even a single task event as a list. Events are told apart by their own ``type``, never by the channel.
Only the fields of the records are decoded; arguments and results are skipped unread, and pickle is never loaded.
"""

from collections.abc import Callable, Sequence
from typing import Any, Union

import msgspec

from celery_redis_exporter.decode.envelope import JSON, MALFORMED, open_envelope
from celery_redis_exporter.errors import DecodeError
from celery_redis_exporter.records.events import EVENT_CLASSES, Broken, Event, EventMessage, Part, UnknownEvent


class _Typed(msgspec.Struct):
    type: str


_ANY_EVENT: Any = Union[tuple(EVENT_CLASSES)]  # noqa: UP007 -- made from a list
_KNOWN_TYPES = {kind.__struct_config__.tag for kind in EVENT_CLASSES}


class _Serializer:
    """Decoders for one serializer: a body, one event, the parts of a broken list, the type of a part."""

    def __init__(self, decoder: Any) -> None:  # noqa: ANN401 -- msgspec's two Decoders
        self.body: Callable[[bytes], list[Event] | Event] = decoder(list[_ANY_EVENT] | _ANY_EVENT).decode
        self.one: Callable[[bytes | msgspec.Raw], Event] = decoder(_ANY_EVENT).decode
        self.parts: Callable[[bytes], list[msgspec.Raw]] = decoder(list[msgspec.Raw]).decode
        self.typed: Callable[[bytes | msgspec.Raw], _Typed] = decoder(_Typed).decode


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
    """Decode a body that is no clean list of known events: a single event, or a list with strangers in it."""
    try:
        return [_decode_part(serializer, part) for part in serializer.parts(body)]
    except MALFORMED:
        part = _decode_part(serializer, body)
    if isinstance(part, Broken):
        raise DecodeError("body", "neither an event nor a list of events")
    return [part]


def _decode_part(serializer: _Serializer, part: bytes | msgspec.Raw) -> Part:
    try:
        return serializer.one(part)
    except MALFORMED:
        return UnknownEvent() if _is_stranger(serializer, part) else Broken("schema")


def _is_stranger(serializer: _Serializer, part: bytes | msgspec.Raw) -> bool:
    try:
        return serializer.typed(part).type not in _KNOWN_TYPES
    except MALFORMED:
        return False
