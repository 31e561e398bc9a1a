# SPDX-License-Identifier: Apache-2.0
"""Invariants for any input: each function accepts any bytes and raises nothing but an AssertionError.

There is one function per way into the exporter. Each passes the bytes to the real code, allows the errors that its
docstring names, and checks the result. The fuzzer, the property tests and the replay of found inputs use the same
functions, so that an invariant is written once. Never opens a socket; writes files only into a temporary folder, which
is removed with the process.
"""

import json
import math
import tempfile
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType

import hiredis
import msgspec

from celery_redis_exporter.catalog import Kind
from celery_redis_exporter.catalog.redis_server import UP
from celery_redis_exporter.decode import cluster, redis_server, sentinel
from celery_redis_exporter.decode.control import decode_reply
from celery_redis_exporter.decode.event_stream import decode_event_message, decode_message
from celery_redis_exporter.decode.exceptions import exception_class, unregistered_name
from celery_redis_exporter.decode.key_groups import LONGEST_LABEL, KeyClassifier
from celery_redis_exporter.decode.queues import decode_binding, decode_oldest_delivery, decode_queued
from celery_redis_exporter.decode.redis_info import decode_info
from celery_redis_exporter.decode.saved_state import decode_state, encode_state, mark_used
from celery_redis_exporter.decode.schedules import decode_redbeat_definition
from celery_redis_exporter.errors import ConfigError, DecodeError
from celery_redis_exporter.exposition import Syntax, negotiate
from celery_redis_exporter.records.events import Broken, EventMessage, Part, Repaired, TaskFailed, TaskRetried
from celery_redis_exporter.records.replies import Address
from celery_redis_exporter.records.samples import Sample
from celery_redis_exporter.settings import Settings, load
from celery_redis_exporter.settings.read.file import read_file
from celery_redis_exporter.settings.read.flags import read_flags
from celery_redis_exporter.settings.read.web_config import read_web_config
from celery_redis_exporter.sources.replies import UNREADABLE
from celery_redis_exporter.state.queues import Queues
from celery_redis_exporter.state.saved_state import LastingState
from celery_redis_exporter.status.numbers import Numbers
from celery_redis_exporter.status.servers import Servers
from celery_redis_exporter.web.auth import read_credentials
from celery_redis_exporter.web.routes import read_headers
from tests.fuzz.folding import check_fold
from tests.fuzz.labels import check_labels
from tests.support.fakes import FakeClock
from tests.support.lab import Lab
from tests.support.options import celery_names

REASONS = frozenset({
    "envelope", "serializer", "body", "schema", "binding", "schedule",
    "foreign", "newer", "old", "damaged",
})  # fmt: skip
SERIALIZERS = ("application/json", "application/x-msgpack", "application/x-python-serialize", "")
LONGEST_NAME = 512
CONTENT_TYPES = {
    Syntax.TEXT: "text/plain; version=",
    Syntax.PROTOBUF: "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited",
    Syntax.OPENMETRICS: "application/openmetrics-text; version=1.0.0; charset=utf-8",
}
CLASSIFIERS = (
    KeyClassifier(celery_names()),
    KeyClassifier(
        celery_names(prefix="p:", result_prefix="r", queues={"celery": "celery", "q-7": "q-*"}),
        {"users": ["user:*", "u[^a-c]?*x*"], "rest": ["*:tail", "a*b*c*d*e"]},
    ),
)


def check_event_message(data: bytes) -> None:
    """Check that a message of Redis pub/sub yields parts, or a DecodeError."""
    try:
        _check_parts(decode_message(data), data)
    except DecodeError as error:
        _check_reason(error)


def check_event_body(data: bytes) -> None:
    """Check that an AMQP body, in the serializer that the first byte names, yields parts or a DecodeError."""
    try:
        message = EventMessage(data[1:], SERIALIZERS[data[0] % len(SERIALIZERS)] if data else "")
        _check_parts(decode_event_message(message), data)
    except DecodeError as error:
        _check_reason(error)


def check_info(data: bytes) -> None:
    """Check that INFO yields samples, and a status as JSON."""
    samples = decode_info("r", data, range(3), 1.8e9).samples
    _check_samples(samples)
    redis_server.parse_info(data)
    clock = FakeClock()
    servers = Servers(clock, 0)
    for _ in range(2):
        clock.advance(60)
        read = {"r": [Sample(UP, ("r",), 1), *samples]}
        servers.note(read)
        found = servers.describe(read, Numbers())
        assert json.dumps(msgspec.to_builtins(found), allow_nan=False)


def check_cluster_nodes(data: bytes) -> None:
    """Check that CLUSTER NODES yields addresses, or a DecodeError."""
    try:
        found = cluster.decode_cluster_nodes(data, Address("asked", 6379))
    except DecodeError as error:
        _check_reason(error)
    else:
        assert all(address.host and 0 < address.port <= cluster.LARGEST_PORT for address in found)


def check_replies(data: bytes) -> None:
    """Check that replies of a server yield samples, whatever command they answer."""
    for reply in _replies(data):
        _check_samples(redis_server.decode_cluster_info("r", reply))
        _check_samples(redis_server.decode_slowlog("r", reply, reply))
        _check_samples(redis_server.decode_command_logs("r", [reply, reply]))
        _check_samples(redis_server.decode_latency_latest("r", reply))
        _check_samples(redis_server.decode_latency_histogram("r", reply, {"get": (7, 7), "\ufffd": (1, 1)}))
        config = redis_server.decode_config([reply])
        _check_samples(redis_server.decode_settings("r", config, []))
        assert redis_server.count_databases(config, cluster=False) >= 0
        assert redis_server.count_databases(config, cluster=True) >= 0
        buffer = redis_server.decode_output_buffer(reply)
        assert buffer is None or buffer >= 0
        delivered = decode_oldest_delivery(reply)
        assert delivered is None or math.isfinite(delivered)


def check_sentinel(data: bytes) -> None:
    """Check that replies of a sentinel yield samples."""
    for reply in _replies(data):
        _check_samples(sentinel.decode_sentinel_info("r", reply))
        for master in sentinel.decode_masters(reply):
            _check_samples(sentinel.decode_master("r", master))
            _check_samples(sentinel.decode_quorum("r", master, reply, data.decode("utf-8", "replace")))
            _check_samples(sentinel.decode_quorum("r", master, data, ""))
            _check_samples(sentinel.decode_peers("r", master, reply, reply))


def check_queues(data: bytes) -> None:
    """Check that a binding and a queued message each yield their record, or a DecodeError."""
    decoders: tuple[Callable[[bytes], object], ...] = (decode_queued, lambda member: decode_binding(member, "celeryev"))
    for decode in decoders:
        try:
            decode(data)
        except DecodeError as error:
            _check_reason(error)
    delivered = decode_oldest_delivery([b"id", data])
    assert delivered is None or math.isfinite(delivered)


def check_control(data: bytes) -> None:
    """Check that a worker's reply yields its record, or a DecodeError."""
    try:
        reply = decode_reply(data)
    except DecodeError as error:
        _check_reason(error)
    else:
        assert len(reply.worker) <= LONGEST_NAME


def check_redbeat(data: bytes) -> None:
    """Check that a definition yields a task with an interval, or None, or a DecodeError."""
    try:
        task = decode_redbeat_definition(data)
    except DecodeError as error:
        _check_reason(error)
    else:
        assert task is None or (len(task.task) <= LONGEST_NAME and 0 < task.interval < math.inf)


def check_key_group(data: bytes) -> None:
    """Check that any key name has a group whose label is printable and short."""
    for classifier in CLASSIFIERS:
        label = classifier.classify(data)
        assert label
        assert label.isprintable()
        assert len(label) <= LONGEST_LABEL


def check_headers(data: bytes) -> None:
    """Check that any headers of a request, one per line, yield an existing format, and credentials with a colon."""
    names = (b"accept", b"accept-encoding", b"x-prometheus-scrape-timeout-seconds")
    lines = data.split(b"\n")
    accept, encoding, timeout = read_headers((names[place % 3], line) for place, line in enumerate(lines))
    assert timeout is None or (timeout > 0 and math.isfinite(timeout))
    for protobuf in (False, True):
        chosen = negotiate.__wrapped__(accept, encoding, protobuf=protobuf)
        assert chosen.content_type.startswith(CONTENT_TYPES[chosen.syntax])
        assert protobuf or chosen.syntax is not Syntax.PROTOBUF
        chosen.content_type.encode("ascii")
    for line in lines:
        credentials = read_credentials(line.decode("latin-1"))
        assert credentials is None or b":" in credentials


def check_settings_file(data: bytes) -> None:
    """Check that a settings file yields values, or a ConfigError."""
    _expect_error(lambda: read_file(str(_scratch("settings.yml", data)), "--config.file"))


def check_environment(data: bytes) -> None:
    """Check that variables, one per line, yield settings or a ConfigError, and that none of them shows a secret."""
    lines = [line.partition("=") for line in data.decode("utf-8", "surrogateescape").split("\n")]
    # No file is read here, because the content of files is another way in.
    environ = {f"EXPORTER_{name}": value for name, _, value in lines if "FILE" not in name}
    try:
        settings = load([], environ)
    except ConfigError as error:
        _check_error(error)
    else:
        _check_settings(settings)


def check_flags(data: bytes) -> None:
    """Check that flags, one per line, yield values or a ConfigError."""
    _expect_error(lambda: read_flags(data.decode("utf-8", "surrogateescape").split("\n")))


def check_web_config(data: bytes) -> None:
    """Check that a web configuration file yields its record, or a ConfigError."""
    _expect_error(lambda: read_web_config(str(_scratch("web.yml", data)), "--web.config.file"))


def check_state_file(data: bytes) -> None:
    """Check that a state file is refused or can be written again, also with a checksum that fits its content."""
    for content in (data, mark_used(b"\n" + data)):
        try:
            state = decode_state(content).state
        except DecodeError as error:
            _check_reason(error)
        else:
            assert encode_state(state, clean=False)
            lab = Lab()
            lasting = LastingState(lab.store, lab.tasks, lab.workers, Queues(lab.tasks, [], 10), lab.clock)
            lasting.restore(state, counters=True)
            lab.advance(1)
            assert encode_state(lasting.copy().record("b", "n"), clean=False)


INVARIANTS: Mapping[str, Callable[[bytes], None]] = MappingProxyType({
    "event_message": check_event_message,
    "event_body": check_event_body,
    "fold": check_fold,
    "labels": check_labels,
    "info": check_info,
    "cluster_nodes": check_cluster_nodes,
    "replies": check_replies,
    "sentinel": check_sentinel,
    "queues": check_queues,
    "control": check_control,
    "redbeat": check_redbeat,
    "state_file": check_state_file,
    "key_group": check_key_group,
    "headers": check_headers,
    "settings_file": check_settings_file,
    "environment": check_environment,
    "flags": check_flags,
    "web_config": check_web_config,
})  # fmt: skip


def _check_parts(parts: Iterable[Part], data: bytes) -> None:
    found = list(parts)
    assert len(found) <= len(data)
    for part in (part.event if isinstance(part, Repaired) else part for part in found):
        if isinstance(part, Broken):
            assert part.reason in REASONS
        if isinstance(part, TaskFailed | TaskRetried):
            assert len(exception_class(part.exception, part.traceback)) <= LONGEST_NAME
            assert len(unregistered_name(part.exception) or "") <= LONGEST_NAME


def _check_samples(samples: Iterable[Sample]) -> None:
    for sample in samples:
        metric, value = sample.metric, sample.value
        assert len(sample.labels) == len(metric.label_names)
        assert all(isinstance(label, str) for label in sample.labels)
        assert isinstance(value, tuple) == (metric.kind in {Kind.SUMMARY, Kind.HISTOGRAM})
        if not isinstance(value, tuple):
            float(value)  # as when it is rendered; an integer too long for it raises


def _replies(data: bytes) -> list[object]:
    """Return the replies in ``data``, in Redis's protocol, up to the first error, as the exporter reads them."""
    reader = hiredis.Reader()
    found: list[object] = []
    reader.feed(data)
    try:
        while len(found) < 10 and (reply := reader.gets()) is not False:
            found.append(reply)
    except UNREADABLE:
        pass
    return found


def _check_reason(error: DecodeError) -> None:
    assert error.reason in REASONS


def _expect_error(read: Callable[[], object]) -> None:
    try:
        read()
    except ConfigError as error:
        _check_error(error)


def _check_settings(settings: Settings) -> None:
    for secret in settings.secrets:
        # A short secret may be part of a name.
        assert len(secret) < 12 or secret not in repr(settings)
        assert len(secret) < 12 or all(secret not in repr(target) for target in settings.targets)


def _check_error(error: ConfigError) -> None:
    assert str(error)


def _scratch(name: str, data: bytes) -> Path:
    path = Path(_folder().name) / name
    path.write_bytes(data)
    return path


@cache
def _folder() -> "tempfile.TemporaryDirectory[str]":
    return tempfile.TemporaryDirectory(prefix="fuzz-")
