# SPDX-License-Identifier: Apache-2.0
"""Encode protobuf fields, and the messages of Prometheus's definition (io.prometheus.client, proto3).

Input: numbers, text and encoded messages. Output: bytes. As official encoders do, fields are written in the order of
their numbers, and a number of 0 or empty text is left out. Numbers that don't fit into 64 bits are cut off.
"""

from collections.abc import Iterable, Sequence
from enum import IntEnum
from struct import Struct

VARINT, FIXED64, BYTES = 0, 1, 2
"""Wire types: how the length of a field is written."""
MASK = 2**64 - 1
FIRST_SECOND, LAST_SECOND = -62_135_596_800, 253_402_300_800
"""The years 1 and 10000, outside of which protobuf has no timestamps."""
_SMALL = tuple(bytes((number,)) for number in range(128))
DOUBLE = Struct("<d")
ZERO = DOUBLE.pack(0.0)


def varint(number: int) -> bytes:
    """Return a number in groups of seven bits, the lowest first; a negative one as its two's complement."""
    if 0 <= number < 128:
        return _SMALL[number]
    number &= MASK
    groups = bytearray()
    while number > 127:
        groups.append(number & 127 | 128)
        number >>= 7
    groups.append(number)
    return bytes(groups)


def zigzag(number: int) -> int:
    """Return the positive number that stands for a number which may be negative."""
    return number << 1 if number >= 0 else (-number << 1) - 1


def tag(number: int, wire_type: int) -> bytes:
    """Return what precedes a field."""
    return varint(number << 3 | wire_type)


class MetricType(IntEnum):
    """The type of a family."""

    COUNTER = 0
    GAUGE = 1
    UNTYPED = 3
    HISTOGRAM = 4


# A table of the fields that are written, by message.
FAMILY_NAME, FAMILY_HELP, FAMILY_TYPE, FAMILY_METRIC = tag(1, BYTES), tag(2, BYTES), tag(3, VARINT), tag(4, BYTES)
METRIC_LABEL, METRIC_HISTOGRAM = tag(1, BYTES), tag(7, BYTES)
METRIC_NUMBER = {MetricType.GAUGE: tag(2, BYTES), MetricType.COUNTER: tag(3, BYTES), MetricType.UNTYPED: tag(5, BYTES)}
LABEL_NAME, LABEL_VALUE = tag(1, BYTES), tag(2, BYTES)
NUMBER_VALUE = tag(1, FIXED64)  # of Gauge, Counter and Untyped
COUNTER_EXEMPLAR, COUNTER_CREATED = tag(2, BYTES), tag(3, BYTES)
SAMPLE_COUNT, SAMPLE_SUM, BUCKET = tag(1, VARINT), tag(2, FIXED64), tag(3, BYTES)
SCHEMA, ZERO_THRESHOLD, ZERO_COUNT = tag(5, VARINT), tag(6, FIXED64), tag(7, VARINT)
POSITIVE_SPAN, POSITIVE_DELTA = tag(12, BYTES), tag(13, BYTES)
HISTOGRAM_CREATED, HISTOGRAM_EXEMPLAR = tag(15, BYTES), tag(16, BYTES)
BUCKET_COUNT, BUCKET_BOUND, BUCKET_EXEMPLAR = tag(1, VARINT), tag(2, FIXED64), tag(3, BYTES)
SPAN_OFFSET, SPAN_LENGTH = tag(1, VARINT), tag(2, VARINT)
EXEMPLAR_LABEL, EXEMPLAR_VALUE, EXEMPLAR_TIME = tag(1, BYTES), tag(2, FIXED64), tag(3, BYTES)
TIME_SECONDS, TIME_NANOS = tag(1, VARINT), tag(2, VARINT)


def integer(field: bytes, number: int) -> bytes:
    """Return a field of an integer."""
    return field + varint(number) if number & MASK else b""


def double(field: bytes, number: float) -> bytes:
    """Return a field of a floating-point number."""
    packed = DOUBLE.pack(number)
    return b"" if packed == ZERO else field + packed


def message(field: bytes, content: bytes) -> bytes:
    """Return a field of an encoded message, or of packed numbers."""
    return field + varint(len(content)) + content


def text(field: bytes, content: str) -> bytes:
    """Return a field of text. What UTF-8 can't express (half of a surrogate pair) becomes ``?``."""
    return message(field, content.encode("utf-8", "replace")) if content else b""


def labels(field: bytes, pairs: Iterable[tuple[str, str]]) -> bytes:
    """Return label pairs, each as a field."""
    return b"".join([message(field, text(LABEL_NAME, name) + text(LABEL_VALUE, value)) for name, value in pairs])


def timestamp(field: bytes, at: float | None) -> bytes:
    """Return a moment (epoch seconds) in milliseconds, which is what Prometheus stores, or nothing without one."""
    if at is None or not FIRST_SECOND <= at < LAST_SECOND - 1:
        return b""
    seconds, milliseconds = divmod(round(at * 1000), 1000)
    return message(field, integer(TIME_SECONDS, seconds) + integer(TIME_NANOS, milliseconds * 1_000_000))


def exemplar(field: bytes, label: str, found: tuple[str, float, float]) -> bytes:
    """Return an exemplar: the value of its only label, the observed number, and when (epoch seconds)."""
    name, value, at = found
    content = labels(EXEMPLAR_LABEL, [(label, name)]) + double(EXEMPLAR_VALUE, value) + timestamp(EXEMPLAR_TIME, at)
    return message(field, content)


def buckets(numbers: dict[int, int]) -> bytes:
    """Return the spans and deltas of native buckets: their counts by index, in rising order.

    A span is a run of indexes without a gap. A delta is the difference from the count before.
    """
    spans: list[tuple[int, int]] = []
    deltas = []
    following = last = 0
    for index, count in numbers.items():
        if spans and index == following:
            spans[-1] = spans[-1][0], spans[-1][1] + 1
        else:
            spans.append((index - following, 1))
        deltas.append(varint(zigzag(count - last)))
        following, last = index + 1, count
    written = [
        message(POSITIVE_SPAN, integer(SPAN_OFFSET, zigzag(offset)) + integer(SPAN_LENGTH, length))
        for offset, length in spans
    ]
    return b"".join([*written, message(POSITIVE_DELTA, b"".join(deltas))]) if deltas else b""


def family(name: str, help_text: str, kind: MetricType, metrics: Sequence[bytes]) -> list[bytes]:
    """Return a family in pieces, preceded by its length; each of ``metrics`` is a field FAMILY_METRIC."""
    head = text(FAMILY_NAME, name) + text(FAMILY_HELP, help_text) + integer(FAMILY_TYPE, kind)
    return [varint(len(head) + sum(map(len, metrics))) + head, *metrics]
