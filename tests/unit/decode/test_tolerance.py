# SPDX-License-Identifier: Apache-2.0
"""Fields of another shape: the loss in events and in inspect replies, and the values that are read all the same."""

import base64
import json
from collections.abc import Callable
from typing import Any

import msgpack
import msgspec
import pytest

from celery_redis_exporter.catalog import internals
from celery_redis_exporter.catalog import tasks as rows
from celery_redis_exporter.decode.control import decode_reply
from celery_redis_exporter.decode.event_stream import decode_event_message
from celery_redis_exporter.decode.exceptions import unregistered_name
from celery_redis_exporter.decode.queues import decode_queued
from celery_redis_exporter.decode.tolerance import LONGEST_NAME, cut_name
from celery_redis_exporter.errors import DecodeError
from celery_redis_exporter.records.events import (
    EVENT_CLASSES,
    MOST_PERIODIC,
    BeatHeartbeat,
    Broken,
    EventMessage,
    Part,
    Repaired,
    TaskFailed,
    TaskReceived,
    TaskRetried,
    TaskStarted,
    TaskSucceeded,
    WorkerHeartbeat,
)
from celery_redis_exporter.records.inspection import ConsumedQueue, HeldTask, RegisteredTask, WorkerStats
from celery_redis_exporter.records.replies import QueuedMessage
from tests.support.lab import Lab
from tests.support.sizes import scaled

JSON = "application/json"
MSGPACK = "application/x-msgpack"
LONG = "x" * 600
UUID = "dcf2af51-0915-476a-b138-9116517f4eca"
HEX = UUID.replace("-", "")

HUGE = scaled(5_000, 100_000)
SHAPES: dict[str, object] = {
    "null": None, "text": "text", "number": 7, "list": [1], "object": {"a": 1},
    "huge number": 10**400, "huge text": "x" * HUGE, "huge list": ["q"] * HUGE,
}  # fmt: skip
NAME: dict[str, object] = {"text": "text", "huge text": cut_name("x" * HUGE)}
NUMBER: dict[str, object] = {"number": 7}
GOOD: dict[str, object] = {
    "uuid": "u", "timestamp": 1.5, "hostname": "h", "name": "n", "queue": "q", "eta": "2027-01-01T00:00:00",
    "retries": 2, "runtime": 0.5, "exception": "KeyError()", "traceback": "T", "requeue": True, "terminated": True,
    "expired": False, "pid": 9, "freq": 2.0, "active": 1, "processed": 3, "loadavg": [0.1, 0.2, 0.3],
    "sw_ident": "py-celery", "sw_ver": "5.7.0", "sw_sys": "Linux", "queues": ["mail"], "concurrency": 4,
    "exchange": "e", "routing_key": "k", "signum": 15, "tasks": {"n": 30.0},
}  # fmt: skip
READ: dict[str, dict[str, object]] = {
    "uuid": {"text": "text", "number": "7"}, "timestamp": NUMBER, "hostname": NAME, "name": NAME, "queue": NAME,
    "eta": {"text": "text"}, "retries": NUMBER, "runtime": NUMBER,
    "exception": {"text": "text", "huge text": "x" * HUGE},
    "requeue": {}, "terminated": {}, "expired": {}, "pid": NUMBER, "freq": NUMBER, "active": NUMBER,
    "processed": NUMBER, "loadavg": {}, "sw_ident": {"text": "text"}, "sw_ver": {"text": "text"},
    "sw_sys": {"text": "text"}, "queues": {"text": ["text"], "huge text": [cut_name("x" * HUGE)]},
    "concurrency": NUMBER, "exchange": NAME, "routing_key": NAME, "signum": {"text": "text", "number": 7},
    "tasks": {"object": {"a": 1.0}},
}  # fmt: skip
"""The value that is read from a field in another shape; a field that is not here is absent."""
REQUIRED = {"uuid", "timestamp", "hostname"}


def event(kind: str, **changes: object) -> dict[str, object]:
    """Return a valid event, with changes; it has every field that any event has."""
    return {"type": kind} | GOOD | changes


def decode(*events: object, content_type: str = JSON) -> list[Part]:
    """Return the decoded parts of a batch."""
    body = msgpack.packb(events) if content_type == MSGPACK else json.dumps(events).encode()
    return list(decode_event_message(EventMessage(body, content_type)))


def opened(part: Part) -> Any:  # noqa: ANN401 -- the event of any part
    """Return the event of a part."""
    return part.event if isinstance(part, Repaired) else part


FIELDS = [(kind, info.name) for kind in EVENT_CLASSES for info in msgspec.structs.fields(kind)]


@pytest.mark.parametrize(("kind", "name"), FIELDS, ids=lambda value: getattr(value, "__name__", value))
def test_a_field_of_another_shape_costs_that_field(kind: type[msgspec.Struct], name: str) -> None:
    """An optional field of another shape is absent or read, a required one refuses its event, the rest is unchanged."""
    for shape in SHAPES:
        _check_shape(kind, name, shape)


def _check_shape(kind: type[msgspec.Struct], name: str, shape: str) -> None:
    tag = str(kind.__struct_config__.tag)
    before, changed, after = decode(event(tag), event(tag, **{name: SHAPES[shape]}), event(tag))
    assert before == after
    info = next(info for info in msgspec.structs.fields(kind) if info.name == name)
    if name in REQUIRED | {"name"} and shape not in READ[name]:
        assert Broken("schema") == changed
        return
    found, expected = opened(changed), opened(before)
    assert isinstance(found, kind)
    if isinstance(found, TaskFailed | TaskRetried) and name == "traceback":  # kept unchanged
        assert json.dumps(SHAPES[shape]).encode() == bytes(found.traceback) or shape == "null"
        return
    values = msgspec.structs.asdict(expected) | {name: READ[name].get(shape, info.default)}
    assert values == msgspec.structs.asdict(found)


@pytest.mark.parametrize(
    "written",
    [
        {"__type__": "uuid", "__value__": {"hex": HEX}},
        {"__type__": "uuid", "__value__": {"hex": HEX, "version": 4}},
        {"uuid": UUID, "__uuid__": True, "version": 4},
        UUID,
    ],
    ids=["kombu 5.5", "kombu 5.3", "kombu 5.3.0b2", "kombu 5.2"],
)
@pytest.mark.parametrize("content_type", [JSON, MSGPACK])
def test_uuid_objects_are_task_ids(written: object, content_type: str) -> None:
    """A task id that was sent as a UUID is the same text in events, inspect replies and queued messages."""
    assert [TaskStarted(UUID, 1.5, "h")] == decode(event("task-started", uuid=written), content_type=content_type)
    request = {"id": written, "name": "t", "delivery_info": {"routing_key": "q"}}
    assert [HeldTask(UUID, "t", "", "q")] == decode_reply(answer("reserved", [request])).answer
    for message in ({"headers": {"id": written}}, {"properties": {"correlation_id": written}}):
        assert QueuedMessage(UUID) == decode_queued(json.dumps(message).encode())


@pytest.mark.parametrize("written", [True, 1.5, {"__type__": "uuid", "__value__": {"hex": "z"}}, {"__type__": "date"}])
def test_what_is_no_task_id(written: object) -> None:
    """Objects that are not UUIDs, booleans and fractions are not accepted as task ids."""
    assert [Broken("schema")] == decode(event("task-started", uuid=written))


def test_tasks_with_uuid_objects_are_counted() -> None:
    """Events with UUID objects and integers as task ids are counted like any other, and none as invalid."""
    lab = Lab()
    collector = lab.collector(decode_event_message)
    for written in ({"__type__": "uuid", "__value__": {"hex": HEX}}, 42):
        batch = [event("task-sent", uuid=written, eta=None), event("task-received", uuid=written, eta=None),
                 event("task-started", uuid=written), event("task-succeeded", uuid=written)]  # fmt: skip
        collector.fold([EventMessage(json.dumps(batch).encode(), JSON)])
    assert 2 == lab.value(rows.TASKS, "n", "q", "success")
    assert 2 == lab.value(internals.EVENTS, "task-started")
    assert lab.value(internals.EVENTS_INVALID, "schema") is None


def test_null_retries_are_none() -> None:
    """Retries of null in task-sent are read as 0, and the event is received."""
    assert [TaskReceived("u", 1.5, "h", "n", None, 0)] == decode(event("task-received", retries=None, eta=None))


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("queues", "celery,mail", ["celery", "mail"]),
        ("queues", " celery , mail,", ["celery", "mail"]),
        ("queues", {"celery": {"exchange": "celery"}}, None),
        ("queues", ["celery", None], None),
        ("queues", ["celery", LONG], ["celery", cut_name(LONG)]),
        ("concurrency", "4", 4),
        ("concurrency", "many", None),
        ("active", -1, None),
        ("pid", "17", 17),
        ("loadavg", [1], None),
        ("loadavg", [1e300, 0, 0], None),
        ("loadavg", ["0.5", "1", "2"], (0.5, 1, 2)),
    ],
)
def test_heartbeats_with_foreign_fields(field: str, value: object, expected: object) -> None:
    """A heartbeat with fields of other types counts, with the fields that can be read."""
    beat = opened(decode(event("worker-heartbeat", **{field: value}))[0])
    assert isinstance(beat, WorkerHeartbeat)
    assert (expected, "h", 3) == (getattr(beat, field), beat.hostname, beat.processed)


def test_intervals_that_can_not_be_read_cost_themselves() -> None:
    """Only entries of a beat's schedule that are no number of seconds are left out, and the field is counted once."""
    lab = Lab()
    tasks = {"a": 30, "b": "soon", "c": -1, "d": 10**400, "e": True, "f": 0, LONG: 2.5}
    lab.collector(decode_event_message).fold([
        EventMessage(json.dumps([event("beat-heartbeat", tasks=tasks, unknown={})]).encode(), JSON)
    ])  # fmt: skip
    assert 30 == lab.value(rows.TASK_EXPECTED_INTERVAL, "a")
    assert 2.5 == lab.value(rows.TASK_EXPECTED_INTERVAL, cut_name(LONG))
    assert [None] * 5 == [lab.value(rows.TASK_EXPECTED_INTERVAL, task) for task in "bcdef"]
    assert (1, 1) == (lab.value(internals.FIELDS_IGNORED, "tasks"), lab.value(internals.EVENTS, "beat-heartbeat"))


def test_of_a_long_schedule_the_first_tasks_are_read() -> None:
    """Of a schedule with more tasks than an event may contain, the first ones up to the limit are read."""
    tasks = {str(number): 60 for number in range(MOST_PERIODIC + 1)}
    body = json.dumps(event("beat-heartbeat", tasks=tasks)).encode()
    (part,) = decode_event_message(EventMessage(body, JSON))
    assert isinstance(part, Repaired)
    assert isinstance(part.event, BeatHeartbeat)
    assert [str(number) for number in range(MOST_PERIODIC)] == list(part.event.tasks or {})
    assert ("tasks",) == part.ignored


def test_long_names_are_cut() -> None:
    """A name above 512 characters is cut to that length, two long names stay distinct, short names are unchanged."""
    assert "n" * LONGEST_NAME == cut_name("n" * LONGEST_NAME)
    first, second = cut_name(LONG + "a"), cut_name(LONG + "b")
    assert first != second
    assert [LONGEST_NAME] * 2 == [len(first), len(second)]
    assert first.startswith("x" * 490)


def test_long_names_of_events_are_counted() -> None:
    """Events with long names of tasks, queues and workers are counted under the cut names, and so are the cuts."""
    lab = Lab()
    collector = lab.collector(decode_event_message)
    batch = [event("task-sent", name=LONG, queue="q" * 600, eta=None),
             event("task-received", name=LONG, hostname="h" * 600, eta=None)]  # fmt: skip
    collector.fold([EventMessage(json.dumps(batch).encode(), JSON)])
    assert 1 == lab.value(rows.TASKS_RECEIVED, cut_name(LONG), cut_name("q" * 600))
    assert 4 == lab.value(internals.NAMES_CUT)
    assert cut_name("h" * 600) in lab.workers.by_name


def test_ignored_fields_are_counted() -> None:
    """Each unreadable optional field is counted by its name; a null is not unreadable."""
    lab = Lab()
    beats = [event("worker-heartbeat", queues={}, concurrency="many", freq=None), event("worker-heartbeat", queues=7)]
    lab.collector(decode_event_message).fold([EventMessage(json.dumps(beats).encode(), JSON)])
    assert 2 == lab.value(internals.FIELDS_IGNORED, "queues")
    assert 1 == lab.value(internals.FIELDS_IGNORED, "concurrency")
    assert lab.value(internals.FIELDS_IGNORED, "freq") is None
    assert 2 == lab.value(internals.EVENTS, "worker-heartbeat")


def test_long_names_of_exceptions_are_cut() -> None:
    """The name of an unregistered task is cut as in every other place."""
    assert cut_name(LONG) == unregistered_name(f"NotRegistered('{LONG}')")


@pytest.mark.parametrize(
    "written",
    [r'"Traceback\nValueError: \udcff"', "NaN", "Infinity", "-Infinity"],
)
def test_json_of_python_is_read(written: str) -> None:
    """Text with half a surrogate pair, and numbers that JSON does not have, affect only their own field."""
    failed = f'{{"type": "task-failed", "uuid": "u", "timestamp": 1, "hostname": "h", "args": {written}}}'
    succeeded = (
        f'{{"type": "task-succeeded", "uuid": "v", "timestamp": 1, "hostname": "h", "runtime": {written}}}'
        if written.endswith("y") or written == "NaN"
        else '{"type": "task-succeeded", "uuid": "v", "timestamp": 1, "hostname": "h"}'
    )
    for body in (failed, f"[{failed}, {succeeded}]"):
        found = decode_event_message(EventMessage(body.encode(), JSON))
        assert isinstance(found[0], TaskFailed)
        assert found[1:] in ([], [TaskSucceeded("v", 1, "h", None)])
    reply = f'{{"w": [{{"id": "u", "name": "t", "kwargs": {written}}}]}}'.encode()
    envelope = {"body": base64.b64encode(reply).decode(), "headers": {"ticket": "7/reserved"}}
    assert [HeldTask("u", "t", "", "")] == decode_reply(json.dumps(envelope).encode()).answer


def answer(command: str, content: object, worker: str = "w") -> bytes:
    """Return one worker's reply."""
    body = base64.b64encode(json.dumps({worker: content}).encode()).decode()
    return json.dumps({"body": body, "headers": {"ticket": f"7/{command}"}}).encode()


STATS: dict[str, Any] = {
    "pool": {"implementation": "celery.concurrency.prefork:TaskPool", "max-concurrency": 2, "processes": [1, 2]},
    "prefetch_count": 8, "uptime": 7, "rusage": {"maxrss": 100}, "autoscaler": {"current": 3},
}  # fmt: skip
REQUEST: dict[str, Any] = {
    "id": "u", "name": "t", "delivery_info": {"exchange": "e", "routing_key": "k"}, "time_start": 5.0
}  # fmt: skip
QUEUE: dict[str, Any] = {"name": "mail", "exchange": {"name": "e"}, "routing_key": "k"}
WHOLE = WorkerStats("prefork", 3, 8, 7, 100)
HELD = HeldTask("u", "t", "e", "k", 5.0)
CUT = cut_name("x" * HUGE)
# By command and field: the reply, how the field is set in it, the reply without it, the values read from some shapes.
TASK = RegisteredTask("t")
REPLIES: list[tuple[str, str, Callable[[Any], object], object, dict[str, object]]] = [
    ("stats", "pool", lambda value: STATS | {"pool": value}, WHOLE._replace(pool=""), {}),
    ("stats", "implementation", lambda value: STATS | {"pool": {**STATS["pool"], "implementation": value}},
     WHOLE._replace(pool=""), {"text": WHOLE._replace(pool="text")}),
    ("stats", "max-concurrency", lambda value: STATS | {"pool": {**STATS["pool"], "max-concurrency": value}},
     WHOLE, {}),
    ("stats", "processes", lambda value: STATS | {"pool": {**STATS["pool"], "processes": value}}, WHOLE, {}),
    ("stats", "prefetch_count", lambda value: STATS | {"prefetch_count": value}, WHOLE._replace(prefetch_count=None),
     {"number": WHOLE._replace(prefetch_count=7)}),
    ("stats", "uptime", lambda value: STATS | {"uptime": value}, WHOLE._replace(uptime=None), {"number": WHOLE}),
    ("stats", "rusage", lambda value: STATS | {"rusage": value}, WHOLE._replace(max_rss=None), {}),
    ("stats", "maxrss", lambda value: STATS | {"rusage": {"maxrss": value}}, WHOLE._replace(max_rss=None),
     {"number": WHOLE._replace(max_rss=7)}),
    ("stats", "autoscaler", lambda value: STATS | {"autoscaler": value}, WHOLE._replace(concurrency=2), {}),
    ("stats", "current", lambda value: STATS | {"autoscaler": {"current": value}}, WHOLE._replace(concurrency=2),
     {"number": WHOLE._replace(concurrency=7)}),
    ("active", "id", lambda value: [REQUEST | {"id": value}], None,
     {"text": [HELD._replace(uuid="text")], "number": [HELD._replace(uuid="7")]}),
    ("active", "name", lambda value: [REQUEST | {"name": value}], None,
     {"text": [HELD._replace(name="text")], "huge text": [HELD._replace(name=CUT)]}),
    ("active", "delivery_info", lambda value: [REQUEST | {"delivery_info": value}],
     [HELD._replace(exchange="", routing_key="")], {}),
    ("active", "exchange", lambda value: [REQUEST | {"delivery_info": {"exchange": value, "routing_key": "k"}}],
     [HELD._replace(exchange="")],
     {"text": [HELD._replace(exchange="text")], "huge text": [HELD._replace(exchange=CUT)]}),
    ("active", "routing_key", lambda value: [REQUEST | {"delivery_info": {"exchange": "e", "routing_key": value}}],
     [HELD._replace(routing_key="")],
     {"text": [HELD._replace(routing_key="text")], "huge text": [HELD._replace(routing_key=CUT)]}),
    ("active", "time_start", lambda value: [REQUEST | {"time_start": value}], [HELD._replace(started_at=None)],
     {"number": [HELD._replace(started_at=7)]}),
    ("reserved", "request", lambda value: [REQUEST, value], None, {}),
    ("scheduled", "request", lambda value: [{"request": value}], None, {}),
    ("active_queues", "name", lambda value: [QUEUE | {"name": value}], None,
     {"text": [ConsumedQueue("text", "e", "k")], "huge text": [ConsumedQueue(CUT, "e", "k")]}),
    ("active_queues", "exchange", lambda value: [QUEUE | {"exchange": value}], [ConsumedQueue("mail", "", "k")], {}),
    ("active_queues", "exchange.name", lambda value: [QUEUE | {"exchange": {"name": value}}],
     [ConsumedQueue("mail", "", "k")],
     {"text": [ConsumedQueue("mail", "text", "k")], "huge text": [ConsumedQueue("mail", CUT, "k")]}),
    ("active_queues", "exchange.type", lambda value: [QUEUE | {"exchange": {"name": "e", "type": value}}],
     [ConsumedQueue("mail", "e", "k")], {"text": [ConsumedQueue("mail", "e", "k", "text")]}),
    ("active_queues", "routing_key", lambda value: [QUEUE | {"routing_key": value}], [ConsumedQueue("mail", "e", "")],
     {"text": [ConsumedQueue("mail", "e", "text")], "huge text": [ConsumedQueue("mail", "e", CUT)]}),
    ("registered", "name", lambda value: ["t", value], [TASK],
     {"text": [TASK, RegisteredTask("text")], "huge text": [TASK, RegisteredTask(CUT)]}),
    ("ping", "ok", lambda value: {"ok": value}, None, {"text": True, "huge text": True}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("command", "field", "put", "without", "read"), REPLIES, ids=[":".join(row[:2]) for row in REPLIES]
)
def test_replies_of_another_shape(
    command: str, field: str, put: Callable[[object], object], without: object, read: dict[str, object]
) -> None:
    """An optional field of an inspect reply in another shape is absent; a required one refuses the reply."""
    for shape, value in SHAPES.items():
        _check_reply(answer(command, put(value)), read.get(shape, without), f"{field}: {shape}")


def _check_reply(payload: bytes, expected: object, where: str) -> None:
    if expected is not None:
        assert expected == decode_reply(payload).answer, where
        return
    with pytest.raises(DecodeError) as caught:
        decode_reply(payload)
    assert "schema" == caught.value.reason


def test_stats_of_old_celery() -> None:
    """A worker of Celery 5.2 does not report its pool; the rest of its reply is used."""
    pool = {"max-concurrency": 2, "processes": [11, 12], "max-tasks-per-child": "N/A", "timeouts": [0, 0],
            "put-guarded-by-semaphore": False, "writes": {"total": 0, "avg": "0.00%", "all": ""}}  # fmt: skip
    assert (
        WorkerStats("", 2, 8, 7, 100)
        == decode_reply(answer("stats", STATS | {"pool": pool, "autoscaler": None})).answer
    )


def test_a_long_registered_name_is_cut() -> None:
    """A registered task with a long name loses only the end of its name, with and without options behind it."""
    names = ["proj.add", LONG, f"{'y' * 600} [rate_limit=10/m]", f"{'z' * 505} [rate_limit=10/m]"]
    reply = decode_reply(answer("registered", names))
    cut = ["proj.add", cut_name(LONG), cut_name("y" * 600), "z" * 505]
    assert [RegisteredTask(name) for name in cut] == reply.answer
    assert (2, ()) == (reply.cut, reply.ignored)
    assert cut_name("w" * 600) == decode_reply(answer("registered", ["t"], "w" * 600)).worker
