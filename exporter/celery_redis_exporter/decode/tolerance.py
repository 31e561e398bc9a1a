# SPDX-License-Identifier: Apache-2.0
"""Decode objects that the strict decoders refuse a second time, so that a bad field does not spoil the others.

Input: the bytes of one object, and the struct that it should be. Output: the struct, and a ``Repairs`` that states the
changes. Optional fields of another shape become absent. Text is read as a number if a number is expected. A task id may
be a number or one of the objects that kombu makes of a UUID. A name above LONGEST_NAME characters is cut.

Only objects that the strict decoders refuse are decoded here, so that well-formed events cost nothing more. Fields that
the struct does not have (arguments, results) are skipped and not decoded.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, TypeVar, get_args
from uuid import UUID

from msgspec import Raw, Struct, ValidationError, structs

from celery_redis_exporter.decode.envelope import MALFORMED
from celery_redis_exporter.records.events import MOST_PERIODIC, MOST_QUEUES

LONGEST_NAME = 512
LONGEST_INTERVAL = 1e9
_HASH_BYTES = 8
_LARGEST_ID = 2**128
_IDS = frozenset({"uuid", "id", "correlation_id"})
_NAMES = frozenset({"name", "hostname", "queue", "exchange", "routing_key"})
_NULLS = (b"null", b"\xc0")
S = TypeVar("S", bound=Struct)


@dataclass(slots=True)
class Repairs:
    """What the tolerant decoding changed: how many names were cut, and the fields that could not be read."""

    cut: int = 0
    ignored: list[str] = field(default_factory=list)

    def cut_name(self, name: str) -> str:
        """Return the name with at most LONGEST_NAME characters, and count it if it had more."""
        if len(name) > LONGEST_NAME:
            self.cut += 1
        return cut_name(name)


_FieldReader = tuple[str, str, bool, Callable[[Raw, Repairs], Any]]
"""A field's name, its name in the message, whether it may be absent, and the function that reads it."""


def cut_name(name: str) -> str:
    """Return a long name's beginning and a hash of all of it, so that two long names remain different."""
    if len(name) <= LONGEST_NAME:
        return name
    digest = blake2b(name.encode("utf-8", "surrogatepass"), digest_size=_HASH_BYTES).hexdigest()
    return f"{name[: LONGEST_NAME - len(digest) - 1]}~{digest}"


def repair_json(body: bytes) -> bytes:
    """Return JSON that Python writes but no standard allows (NaN, half of a surrogate pair) as standard JSON.

    NaN and infinite numbers become null, and half a surrogate pair becomes a question mark. Raises ValueError or
    RecursionError if Python can't read the body either.
    """
    found = json.loads(body, parse_constant=lambda _: None)
    return json.dumps(found, ensure_ascii=False).encode("utf-8", "replace")


class TolerantDecoder:
    """Decode objects of one serializer. ``decoder`` is msgspec's decoder class for it."""

    def __init__(self, decoder: Any) -> None:  # noqa: ANN401 -- msgspec's two Decoders
        self._decoder = decoder
        self.fields: Callable[[bytes | Raw], dict[str, Raw]] = decoder(dict[str, Raw]).decode
        self.items: Callable[[bytes | Raw], list[Raw]] = decoder(list[Raw]).decode
        self.text: Callable[[bytes | Raw], str] = decoder(str).decode
        self._plain: Callable[[bytes | Raw], object] = decoder().decode
        self._readers: dict[type[Struct], list[_FieldReader]] = {}

    def read(self, kind: type[S], raw: bytes | Raw, repairs: Repairs) -> S:
        """Decode one object. Raises one of MALFORMED if it is not an object or a required field can't be read."""
        return self.build(kind, self.fields(raw), repairs)

    def build(self, kind: type[S], found: Mapping[str, Raw], repairs: Repairs) -> S:
        """Decode the fields of one object. Raises one of MALFORMED if a required field can't be read."""
        values: dict[str, Any] = {}
        for name, key, optional, read in self._readers.get(kind) or self._readers_of(kind):
            raw = found.get(key)
            if raw is None or (optional and bytes(raw) in _NULLS):
                continue
            try:
                values[name] = read(raw, repairs)
            except MALFORMED:
                if not optional:
                    raise
                repairs.ignored.append(key)
        try:
            return kind(**values)
        except TypeError as error:  # A required field is missing.
            raise ValidationError(str(error)) from None

    def _readers_of(self, kind: type[Struct]) -> list[_FieldReader]:
        made = self._readers[kind] = [
            (info.name, info.encode_name, not info.required, self._reader(info)) for info in structs.fields(kind)
        ]
        return made

    def _reader(self, info: structs.FieldInfo) -> Callable[[Raw, Repairs], Any]:
        nested = _struct_in(info.type)
        if nested is not None:
            return lambda raw, repairs: self.read(nested, raw, repairs)
        if info.name in _IDS:
            return lambda raw, _repairs: _read_id(self._plain(raw))
        if info.name in _NAMES:
            return lambda raw, repairs: repairs.cut_name(self.text(raw))
        if info.name == "queues":
            return self._read_queues
        if info.name == "tasks":
            return self._read_intervals
        decode = self._decoder(info.type, strict=False).decode
        return lambda raw, _repairs: raw if info.type is Raw else decode(raw)

    def _read_intervals(self, raw: Raw, repairs: Repairs) -> dict[str, float]:
        """Return seconds by task. Entries with an invalid number, and entries beyond MOST_PERIODIC, are left out."""
        found = self._plain(raw)
        if not isinstance(found, dict):
            raise ValidationError("not the intervals of tasks")
        intervals: dict[str, float] = {}
        for task, seconds in found.items():
            is_valid = isinstance(task, str) and _is_interval(seconds)
            if is_valid and len(intervals) < MOST_PERIODIC:
                intervals[repairs.cut_name(task)] = float(seconds)
            elif "tasks" not in repairs.ignored:
                repairs.ignored.append("tasks")
        return intervals

    def _read_queues(self, raw: Raw, repairs: Repairs) -> list[str]:
        """Return names of queues from a list, or from text with commas between them."""
        found = self._plain(raw)
        match found:
            case str():
                names: list[object] = [name.strip() for name in found.split(",") if name.strip()]
            case [*names]:
                pass
            case _:
                raise ValidationError("not the names of queues")
        texts = [repairs.cut_name(name) for name in names if isinstance(name, str)]
        if len(texts) != len(names):
            raise ValidationError("a queue's name is no text")
        if len(texts) > MOST_QUEUES:
            raise ValidationError("more queues than a worker may name")
        return texts


def _is_interval(found: object) -> bool:
    return isinstance(found, int | float) and not isinstance(found, bool) and 0 < found <= LONGEST_INTERVAL


def _read_id(found: object) -> str:
    """Return a task id from text, a whole number, or an object that kombu makes of a UUID.

    kombu writes ``{"__type__": "uuid", "__value__": {"hex": ...}}``, with "version" beside "hex" in 5.3 and 5.4, and
    ``{"uuid": ..., "__uuid__": true}`` in 5.3.0b2. Earlier versions write text.
    """
    match found:
        case str() if len(found) <= LONGEST_NAME:
            return found
        case bool():
            pass
        case int() if abs(found) <= _LARGEST_ID:
            return str(found)
        case {"__type__": "uuid", "__value__": {"hex": str(digits)}} | {"__uuid__": True, "uuid": str(digits)}:
            try:
                return str(UUID(digits))
            except ValueError:
                pass
    raise ValidationError("not the id of a task")


def _struct_in(kind: Any) -> type[Struct] | None:  # noqa: ANN401 -- any type
    """Return the struct type that a field may contain, or None."""
    candidates = (kind, *get_args(kind))
    return next((found for found in candidates if isinstance(found, type) and issubclass(found, Struct)), None)
