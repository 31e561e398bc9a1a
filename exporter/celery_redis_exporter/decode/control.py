# SPDX-License-Identifier: Apache-2.0
"""Decode workers' replies to inspect commands, as kombu puts them into a Redis list.

Input: a JSON envelope around a body in the serializer of the worker's ``task_serializer``. The body contains one
worker's name and the result of its command. Output: a ``ControlReply``. The ticket, ``{token}/{command}``, names the
command, since it is returned as it was sent. Arguments of tasks are skipped and not decoded, and pickle is never
loaded.
"""

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Annotated, Any, get_args, get_origin

import msgspec
from msgspec import Meta, Raw

from celery_redis_exporter.decode.envelope import JSON, MALFORMED
from celery_redis_exporter.decode.queues import SEPARATOR
from celery_redis_exporter.decode.tolerance import Repairs, TolerantDecoder, repair_json
from celery_redis_exporter.errors import DecodeError
from celery_redis_exporter.records.events import Count, Text, Timestamp
from celery_redis_exporter.records.inspection import (
    AppSettings,
    ConsumedQueue,
    ControlReply,
    HeldTask,
    RegisteredTask,
    WorkerStats,
)

POOLS = {
    "celery.concurrency.prefork:TaskPool": "prefork",
    "celery.concurrency.thread:TaskPool": "threads",
    "celery.concurrency.solo:TaskPool": "solo",
    "celery.concurrency.gevent:TaskPool": "gevent",
    "celery.concurrency.eventlet:TaskPool": "eventlet",
}
"""Celery's pools by their implementation, with the names of its option ``--pool``."""
TRANSPORT_DEFAULTS: Mapping[str, object] = MappingProxyType(
    {"visibility_timeout": 3600, "sep": SEPARATOR, "priority_steps": [0, 3, 6, 9]}
)
"""The values that kombu uses on Redis if a transport option is not set."""
LONGEST_TIMEOUT = 1e9
LONGEST_SEPARATOR = 64
MOST_STEPS, HIGHEST_STEP = 256, 255
"""The limits for priority steps. AMQP's priorities are bytes."""
SILENT = "send_events=False"
"""The text after the name of a registered task that sends no events."""
_RANGE = re.compile(r"range\((\d{1,3}), (\d{1,3})(?:, (\d{1,3}))?\)")


class _ReplyHeaders(msgspec.Struct, gc=False):
    ticket: str


class _ReplyEnvelope(msgspec.Struct, gc=False):
    """The envelope of a reply. ``body`` is base64, or plain text if the transport option body_encoding is off."""

    body: str
    headers: _ReplyHeaders
    content_type: str = msgspec.field(name="content-type", default=JSON)


class _Pool(msgspec.Struct, gc=False):
    """The pool of a worker.

    ``processes`` are the current ones, and ``max-concurrency`` of prefork is that of the start. Celery reports
    ``implementation`` since 5.3.
    """

    implementation: Text | None = None
    limit: Count | None = msgspec.field(name="max-concurrency", default=None)
    processes: list[int] | None = None


class _Autoscaler(msgspec.Struct, gc=False):
    current: Count | None = None


class _Usage(msgspec.Struct, gc=False):
    maxrss: Count | None = None


class _Stats(msgspec.Struct, gc=False):
    pool: _Pool | None = None
    prefetch_count: Count | None = None
    uptime: Annotated[float, Meta(ge=0, le=1e10)] | None = None
    rusage: _Usage | str | None = None
    autoscaler: _Autoscaler | None = None
    total: dict[str, Count] | None = None


class _Conf(msgspec.Struct, gc=False):
    """Settings of an application, under their current names and under those of Celery 3, which Celery still accepts.

    Celery masks values that may be secrets, among them ``global_keyprefix`` and ``unacked_key``.
    """

    transport: Any = msgspec.field(name="broker_transport_options", default=None)
    task_events: Any = msgspec.field(name="worker_send_task_events", default=None)
    sent_events: Any = msgspec.field(name="task_send_sent_event", default=None)
    old_transport: Any = msgspec.field(name="BROKER_TRANSPORT_OPTIONS", default=None)
    old_task_events: Any = msgspec.field(name="CELERY_SEND_EVENTS", default=None)
    old_sent_events: Any = msgspec.field(name="CELERY_SEND_TASK_SENT_EVENT", default=None)


class _Exchange(msgspec.Struct, gc=False):
    name: Text | None = None
    type: Text | None = None


class _Queue(msgspec.Struct, gc=False):
    name: Text
    exchange: _Exchange | None = None
    routing_key: Text | None = None


class _Delivery(msgspec.Struct, gc=False):
    exchange: Text | None = None
    routing_key: Text | None = None


class _Request(msgspec.Struct, gc=False):
    id: Text
    name: Text
    delivery_info: _Delivery | None = None
    time_start: Timestamp | None = None


class _Scheduled(msgspec.Struct, gc=False):
    request: _Request


def decode_reply(payload: bytes) -> ControlReply:
    """Decode one reply.

    Raises DecodeError: ``envelope`` (not kombu's, or not a reply to a request of the exporter), ``serializer`` (not
    supported), ``body`` (not in its serializer's format), ``schema`` (not a result of its command, such as an error).
    """
    try:
        envelope = _decode_envelope(payload)
    except MALFORMED as error:
        raise DecodeError("envelope", f"no answer of a worker: {error}") from None
    command = envelope.headers.ticket.rpartition("/")[2]
    decoders = _DECODERS.get(command)
    if decoders is None:
        raise DecodeError("envelope", "an answer to no question of ours")
    decode = decoders.get(envelope.content_type)
    if decode is None:
        raise DecodeError("serializer", f"answers in {envelope.content_type[:100]!r} are not read")
    try:
        worker, answer, repairs = _decode_answer(command, decode, envelope)
    except msgspec.ValidationError as error:
        raise DecodeError("schema", f"{command}: {error}") from None
    except MALFORMED as error:
        raise DecodeError("body", f"{command}: {error}") from None
    return ControlReply(envelope.headers.ticket, command, worker, answer, repairs.cut, tuple(repairs.ignored))


def _decode_answer(
    command: str, decode: Callable[[bytes], dict[str, Any]], envelope: _ReplyEnvelope
) -> tuple[str, object, Repairs]:
    """Return the worker, its reply, and the changes made to decode it. Raises one of MALFORMED."""
    body = _body(envelope.body)
    try:
        answers = decode(body)
    except msgspec.ValidationError:
        return _decode_tolerantly(command, envelope.content_type, body)
    except msgspec.DecodeError:
        if envelope.content_type != JSON:
            raise
        return _decode_tolerantly(command, JSON, _repair(body))
    if len(answers) != 1:
        raise msgspec.ValidationError("not one worker's answer")
    [(worker, answer)] = answers.items()
    return worker, _READERS[command](answer), Repairs()


def _decode_tolerantly(command: str, content_type: str, body: bytes) -> tuple[str, object, Repairs]:
    """Return the same from a reply that the strict decoder refuses. Raises one of MALFORMED."""
    tolerant, repairs = _TOLERANT[content_type], Repairs()
    answers = tolerant.fields(body)
    if len(answers) != 1:
        raise msgspec.ValidationError("not one worker's answer")
    [(worker, raw)] = answers.items()
    form, read = _FORMS[command]
    kind = get_args(form)[0] if get_origin(form) is list else None
    if kind is None:
        answer = tolerant.read(form, raw, repairs)
    elif kind is Text:
        answer = [_cut_task(task, repairs) for task in _texts(tolerant, raw, repairs)]
    else:
        answer = [tolerant.read(kind, item, repairs) for item in tolerant.items(raw)]
    return repairs.cut_name(worker), read(answer), repairs


def _texts(tolerant: TolerantDecoder, raw: Raw, repairs: Repairs) -> list[str]:
    """Return the texts of a list. Other items are left out and recorded in ``repairs``."""
    found = []
    for item in tolerant.items(raw):
        try:
            found.append(tolerant.text(item))
        except MALFORMED:
            repairs.ignored.append("name")
    return found


def _repair(body: bytes) -> bytes:
    try:
        return repair_json(body)
    except ValueError as error:
        raise msgspec.DecodeError(str(error)) from None


def _body(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):  # The body is plain text: JSON contains characters that base64 does not.
        return text.encode()


def _read_stats(stats: _Stats) -> WorkerStats:
    if stats == _Stats():
        raise msgspec.ValidationError("nothing that a worker reports of itself")
    pool = stats.pool or _Pool()
    concurrency = pool.limit if pool.processes is None else len(pool.processes)
    if stats.autoscaler is not None and stats.autoscaler.current is not None:
        concurrency = stats.autoscaler.current
    max_rss = stats.rusage.maxrss if isinstance(stats.rusage, _Usage) else None
    implementation = pool.implementation or ""
    name = POOLS.get(implementation, implementation)
    return WorkerStats(name, concurrency, stats.prefetch_count, stats.uptime, max_rss, stats.total)


def _read_conf(conf: _Conf) -> AppSettings:
    """Return the settings that are used here, with kombu's defaults for transport options that are not set."""
    if conf == _Conf():
        raise msgspec.ValidationError("no settings of an application")
    options = conf.old_transport if conf.transport is None else conf.transport
    events = conf.old_task_events if conf.task_events is None else conf.task_events
    sent = conf.old_sent_events if conf.sent_events is None else conf.sent_events
    found = {**TRANSPORT_DEFAULTS, **options} if isinstance(options, dict) else {}
    return AppSettings(
        _read_seconds(found.get("visibility_timeout")),
        _read_separator(found.get("sep")),
        _read_steps(found.get("priority_steps")),
        events if isinstance(events, bool) else None,
        sent if isinstance(sent, bool) else None,
    )


def _read_seconds(value: object) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number and 0 < value <= LONGEST_TIMEOUT else None  # type: ignore[operator,return-value]


def _read_separator(value: object) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= LONGEST_SEPARATOR else None


def _read_steps(value: object) -> tuple[int, ...] | None:
    """Return priority steps from a list, or from a range, which Celery sends as text."""
    if isinstance(value, str) and (found := _RANGE.fullmatch(value)):
        value = list(range(int(found[1]), int(found[2]), int(found[3] or 1) or 1))
    if not isinstance(value, list) or not 0 < len(value) <= MOST_STEPS:
        return None
    steps = [step for step in value if type(step) is int and 0 <= step <= HIGHEST_STEP]
    return tuple(sorted(set(steps))) if len(steps) == len(value) else None


def _read_queues(queues: list[_Queue]) -> list[ConsumedQueue]:
    return [_read_queue(queue, queue.exchange or _Exchange()) for queue in queues]


def _read_queue(queue: _Queue, exchange: _Exchange) -> ConsumedQueue:
    return ConsumedQueue(queue.name, exchange.name or "", queue.routing_key or "", exchange.type or "")


def _read_requests(requests: list[_Request]) -> list[HeldTask]:
    return [_read_request(request) for request in requests]


def _read_scheduled(scheduled: list[_Scheduled]) -> list[HeldTask]:
    return [_read_request(entry.request) for entry in scheduled]


def _read_request(request: _Request) -> HeldTask:
    delivery = request.delivery_info or _Delivery()
    return HeldTask(
        request.id, request.name, delivery.exchange or "", delivery.routing_key or "", request.time_start
    )  # fmt: skip


def _read_registered(tasks: list[str]) -> list[RegisteredTask]:
    return [RegisteredTask(name, SILENT not in options) for name, options in map(_split_options, tasks)]


def _split_options(task: str) -> tuple[str, str]:
    """Split a registered task into its name and the options after it, as in ``proj.add [send_events=True]``."""
    name, bracket, options = task.rpartition(" [")
    return (name, bracket + options) if bracket and task.endswith("]") else (task, "")


def _cut_task(task: str, repairs: Repairs) -> str:
    name, options = _split_options(task)
    return repairs.cut_name(name) + options


class _Pong(msgspec.Struct, gc=False):
    ok: str


_FORMS: Mapping[str, tuple[Any, Callable[[Any], object]]] = {
    "stats": (_Stats, _read_stats),
    "active_queues": (list[_Queue], _read_queues),
    "scheduled": (list[_Scheduled], _read_scheduled),
    "reserved": (list[_Request], _read_requests),
    "active": (list[_Request], _read_requests),
    "registered": (list[Text], _read_registered),
    "conf": (_Conf, _read_conf),
    "ping": (_Pong, bool),
}
_READERS = {command: read for command, (_, read) in _FORMS.items()}
_DECODERS: Mapping[str, Mapping[str, Callable[[bytes], dict[str, Any]]]] = {
    command: {
        JSON: msgspec.json.Decoder(dict[Text, form]).decode,  # type: ignore[valid-type]  # forms are types
        "application/x-msgpack": msgspec.msgpack.Decoder(dict[Text, form]).decode,  # type: ignore[valid-type]  # as above
    }
    for command, (form, _) in _FORMS.items()
}
_TOLERANT = {
    JSON: TolerantDecoder(msgspec.json.Decoder),
    "application/x-msgpack": TolerantDecoder(msgspec.msgpack.Decoder),
}
_decode_envelope = msgspec.json.Decoder(_ReplyEnvelope).decode
