# SPDX-License-Identifier: Apache-2.0
"""Declare Prometheus's protobuf messages (io.prometheus.client, proto3) for the official ``protobuf`` package.

Input: a body in the delimited format. Output: messages. The definition is a table here, because the package does not
contain its file.
"""

from typing import Any

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.internal.decoder import _DecodeVarint32  # type: ignore[attr-defined]  # lengths between messages
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.timestamp_pb2 import DESCRIPTOR as TIMESTAMP

PACKAGE = "io.prometheus.client"
TIME = ".google.protobuf.Timestamp"
DEFINITION = {
    "LabelPair": "1 name string, 2 value string",
    "Gauge": "1 value double",
    "Counter": f"1 value double, 2 exemplar Exemplar, 3 created_timestamp {TIME}",
    "Quantile": "1 quantile double, 2 value double",
    "Summary": f"1 sample_count uint64, 2 sample_sum double, 3 quantile Quantile*, 4 created_timestamp {TIME}",
    "Untyped": "1 value double",
    "Histogram": "1 sample_count uint64, 4 sample_count_float double, 2 sample_sum double, 3 bucket Bucket*, "
    "5 schema sint32, 6 zero_threshold double, 7 zero_count uint64, 8 zero_count_float double, "
    "9 negative_span BucketSpan*, 10 negative_delta sint64*, 11 negative_count double*, "
    "12 positive_span BucketSpan*, 13 positive_delta sint64*, 14 positive_count double*, "
    f"15 created_timestamp {TIME}, 16 exemplars Exemplar*",
    "Bucket": "1 cumulative_count uint64, 4 cumulative_count_float double, 2 upper_bound double, 3 exemplar Exemplar",
    "BucketSpan": "1 offset sint32, 2 length uint32",
    "Exemplar": f"1 label LabelPair*, 2 value double, 3 timestamp {TIME}",
    "Metric": "1 label LabelPair*, 2 gauge Gauge, 3 counter Counter, 4 summary Summary, 5 untyped Untyped, "
    "7 histogram Histogram, 6 timestamp_ms int64",
    "MetricFamily": "1 name string, 2 help string, 3 type MetricType, 4 metric Metric*, 5 unit string",
}
"""Fields by message: number, name and type. A star marks repeated ones."""
TYPES = ("COUNTER", "GAUGE", "SUMMARY", "UNTYPED", "HISTOGRAM", "GAUGE_HISTOGRAM")


def _define() -> FileDescriptorProto:
    file = FileDescriptorProto(name="metrics.proto", package=PACKAGE, syntax="proto3", dependency=[TIMESTAMP.name])
    types = file.enum_type.add(name="MetricType")
    for place, name in enumerate(TYPES):
        types.value.add(name=name, number=place)
    for message, fields in DEFINITION.items():
        defined = file.message_type.add(name=message)
        for row in fields.split(", "):
            number, name, kind = row.split()
            label = FieldDescriptorProto.LABEL_REPEATED if kind.endswith("*") else FieldDescriptorProto.LABEL_OPTIONAL
            field = defined.field.add(name=name, number=int(number), label=label)
            kind = kind.removesuffix("*")
            if kind.islower():
                field.type = FieldDescriptorProto.Type.Value(f"TYPE_{kind.upper()}")
                continue
            is_enum = kind == "MetricType"
            field.type = FieldDescriptorProto.TYPE_ENUM if is_enum else FieldDescriptorProto.TYPE_MESSAGE
            field.type_name = kind if kind.startswith(".") else f".{PACKAGE}.{kind}"
    return file


def _load() -> Any:  # noqa: ANN401 -- a class that the package makes
    pool = DescriptorPool()
    pool.AddSerializedFile(TIMESTAMP.serialized_pb)
    pool.Add(_define())
    return GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.MetricFamily"))


MetricFamily = _load()


def read_messages(body: bytes) -> list[Any]:
    """Return the families of a body. Check that the package encodes each to the same bytes again."""
    families, place = [], 0
    while place < len(body):
        length, start = _DecodeVarint32(body, place)
        place = start + length
        assert place <= len(body), "the body ends within a message"
        families.append(MetricFamily.FromString(body[start:place]))
        assert body[start:place] == families[-1].SerializeToString(deterministic=True)
    return families


def read_labels(metric: Any) -> tuple[tuple[str, str], ...]:  # noqa: ANN401 -- as above
    """Return the label pairs of a metric or an exemplar in their order."""
    return tuple((pair.name, pair.value) for pair in metric.label)


def read_buckets(histogram: Any) -> dict[int, int]:  # noqa: ANN401 -- as above
    """Return the counts of native buckets by index."""
    found, index, count, deltas = {}, 0, 0, iter(histogram.positive_delta)
    for span in histogram.positive_span:
        index += span.offset
        for _ in range(span.length):
            count += next(deltas)
            found[index] = count
            index += 1
    assert next(deltas, None) is None
    return found
