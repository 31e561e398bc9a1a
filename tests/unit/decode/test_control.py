# SPDX-License-Identifier: Apache-2.0
"""Decoding of workers' replies to remote control commands."""

import base64
import contextlib
import json
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from celery_redis_exporter.decode.control import decode_reply
from celery_redis_exporter.errors import DecodeError
from celery_redis_exporter.records.inspection import (
    AppSettings,
    ConsumedQueue,
    ControlReply,
    HeldTask,
    RegisteredTask,
    WorkerStats,
)

# A reply of Celery 5.7, without the fields that are not read.
STATS: dict[str, Any] = {
    "total": {"proj.add": 2}, "pid": 21591, "clock": "21", "uptime": 7,
    "pool": {
        "implementation": "celery.concurrency.prefork:TaskPool", "max-concurrency": 2, "processes": [21594, 21595],
        "max-tasks-per-child": "N/A", "timeouts": [0, 0], "writes": {"total": 2, "strategy": "fair"},
    },
    "broker": {"hostname": "127.0.0.1", "transport": "redis", "transport_options": {}},
    "prefetch_count": 8, "rusage": {"utime": 0.5, "maxrss": 54744},
}  # fmt: skip
REQUEST: dict[str, Any] = {
    "id": "a6cb", "name": "proj.add", "args": [{"secret": [1]}], "kwargs": {"x": None}, "type": "proj.add",
    "hostname": "w1@host", "time_start": None, "acknowledged": False, "worker_pid": None,
    "delivery_info": {"exchange": "", "routing_key": "mail", "priority": 0, "redelivered": False},
}  # fmt: skip


def envelope(body: bytes, command: str, content_type: str = "application/json") -> bytes:
    """Return the message that a worker pushes."""
    return json.dumps({
        "body": base64.b64encode(body).decode(), "content-encoding": "utf-8", "content-type": content_type,
        "headers": {"ticket": f"7/{command}", "clock": 3}, "properties": {"body_encoding": "base64", "priority": 0},
    }).encode()  # fmt: skip


def answer(command: str, content: object, worker: str = "w1@host") -> bytes:
    """Return one worker's reply."""
    return envelope(json.dumps({worker: content}).encode(), command)


def stats(pool: str, slots: int | None, prefetched: int | None, uptime: int | None, max_rss: int | None) -> WorkerStats:
    """Return the reply to stats of a worker with this pool that executed two tasks."""
    return WorkerStats(pool, slots, prefetched, uptime, max_rss, {"proj.add": 2})


def test_stats() -> None:
    """The reply to stats contains pool, concurrency, prefetch count, uptime and memory, and returns the ticket."""
    reply = decode_reply(answer("stats", STATS))
    assert ControlReply("7/stats", "stats", "w1@host", stats("prefork", 2, 8, 7, 54744)) == reply


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"rusage": "N/A"}, stats("prefork", 2, 8, 7, None)),
        ({"autoscaler": {"max": 9, "min": 1, "current": 4, "qty": 0}}, stats("prefork", 4, 8, 7, 54744)),
        ({"prefetch_count": None, "uptime": None}, stats("prefork", 2, None, None, 54744)),
        (
            {"pool": {"implementation": "celery.concurrency.thread:TaskPool", "max-concurrency": 5, "threads": 1}},
            stats("threads", 5, 8, 7, 54744),
        ),
        ({"pool": {"implementation": "proj.pool:Own"}}, stats("proj.pool:Own", None, 8, 7, 54744)),
        (
            {"pool": {**STATS["pool"], "processes": [1, 2, 3]}},  # has grown since it started
            stats("prefork", 3, 8, 7, 54744),
        ),
    ],
)
def test_stats_of_other_workers(changes: dict[str, Any], expected: WorkerStats) -> None:
    """A value that a pool or a system does not report is None, and the concurrency is the current one."""
    assert expected == decode_reply(answer("stats", STATS | changes)).answer


def test_queues() -> None:
    """The reply to active_queues contains the names and bindings of queues."""
    queues = [
        {"name": "mail", "exchange": {"name": "mail", "type": "direct"}, "routing_key": "mail", "alias": None},
        {"name": "bare", "exchange": None, "routing_key": None},
    ]
    expected = [ConsumedQueue("mail", "mail", "mail", "direct"), ConsumedQueue("bare", "", "")]
    assert expected == decode_reply(answer("active_queues", queues)).answer


def test_tasks() -> None:
    """Active, reserved and scheduled tasks have id, name, origin and start, and none of the user's data."""
    held = HeldTask("a6cb", "proj.add", "", "mail")
    assert [held] == decode_reply(answer("reserved", [REQUEST])).answer
    entry = {"eta": "2026-11-22T08:00:21+00:00", "priority": 6, "request": REQUEST}
    assert [held] == decode_reply(answer("scheduled", [entry])).answer
    running = [REQUEST | {"time_start": 1_795_319_739.5, "delivery_info": None}]
    assert [HeldTask("a6cb", "proj.add", "", "", 1_795_319_739.5)] == decode_reply(answer("active", running)).answer


def test_registered() -> None:
    """Names of registered tasks are read without their options; one option states whether the task sends events."""
    tasks = ["proj.add", "proj.slow [rate_limit=10/m]", "a b [send_events=True]", "proj.quiet [send_events=False]"]
    expected = [
        *map(RegisteredTask, ("proj.add", "proj.slow", "a b")),
        RegisteredTask("proj.quiet", sends_events=False),
    ]
    assert expected == decode_reply(answer("registered", tasks)).answer


def test_other_forms() -> None:
    """Replies in msgpack, and with bodies that are not base64, are read as well."""
    packed = envelope(msgpack.packb({"w": ["t"]}), "registered", "application/x-msgpack")
    assert [RegisteredTask("t")] == decode_reply(packed).answer
    plain = {"body": '{"w": ["t"]}', "headers": {"ticket": "1/registered"}}
    assert [RegisteredTask("t")] == decode_reply(json.dumps(plain).encode()).answer
    # The letters alone would be base64.
    plain["body"] = '{"work": ["task"]}'
    assert [RegisteredTask("task")] == decode_reply(json.dumps(plain).encode()).answer


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "envelope"),
        (b"\xff", "envelope"),
        (b"[" * 100_000, "envelope"),
        (b'{"body": "", "headers": {}}', "envelope"),
        (b'{"body": "", "headers": {"ticket": null}}', "envelope"),
        (answer("revoked", []), "envelope"),
        (envelope(b"", "stats", "application/x-python-serialize"), "serializer"),
        (envelope(b"{", "stats"), "body"),
        (envelope(b"\xff\xff", "reserved"), "body"),
        (envelope(b"[1]", "stats"), "schema"),
        (envelope(b"{}", "stats"), "schema"),
        (envelope(b'{"a": [], "b": []}', "reserved"), "schema"),
        (answer("stats", {"error": "KeyError('stats')"}), "schema"),
        (answer("reserved", {"error": "x"}), "schema"),
        (answer("reserved", [{"id": 1}]), "schema"),
        (answer("active", [REQUEST | {"id": "x" * 513}]), "schema"),
        (answer("stats", STATS["pool"]), "schema"),
        (answer("registered", "proj.add"), "schema"),
    ],
)
def test_what_is_no_answer(payload: bytes, reason: str) -> None:
    """A message that is no reply of the expected form is refused with its reason."""
    with pytest.raises(DecodeError) as caught:
        decode_reply(payload)
    assert reason == caught.value.reason


@given(st.binary(max_size=60), st.sampled_from(("stats", "active_queues", "scheduled", "reserved", "registered")))
def test_any_body(body: bytes, command: str) -> None:
    """Any bytes in a reply return a reply or raise DecodeError."""
    for payload in (body, envelope(body, command), envelope(body, command, "application/x-msgpack")):
        with contextlib.suppress(DecodeError):
            decode_reply(payload)


# A reply of Celery 5.7 to conf with its defaults, without the fields that are not read. Celery masks possible secrets.
CONF: dict[str, Any] = {
    "broker_transport_options": {"visibility_timeout": 86400, "global_keyprefix": "********"},
    "broker_url": "redis://:********@host:6379/0", "result_backend": "db+postgresql://airflow:********@host/db",
    "worker_send_task_events": False, "task_send_sent_event": True, "task_routes": "<function route at 0x7f>",
    "beat_schedule": {"nightly": {"task": "proj.add", "schedule": "<crontab: 0 3 * * *>"}}, "imports": [], "1": None,
}  # fmt: skip
DEFAULT_STEPS = (0, 3, 6, 9)
READ = AppSettings(86400, "\x06\x16", DEFAULT_STEPS, sends_task_events=False, sends_sent_events=True)
UNREAD = READ._replace(visibility_timeout=None, sep=None, priority_steps=None)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, READ),
        ({"broker_transport_options": {}}, READ._replace(visibility_timeout=3600)),
        (
            {"broker_transport_options": {"sep": ":", "priority_steps": "range(0, 10, 5)", "visibility_timeout": 0.5}},
            READ._replace(visibility_timeout=0.5, sep=":", priority_steps=(0, 5)),
        ),
        (
            {"broker_transport_options": {"sep": "", "priority_steps": [0, "x"], "visibility_timeout": "PT1H"}},
            UNREAD,
        ),
        (
            {"broker_transport_options": {"sep": 5, "priority_steps": [], "visibility_timeout": True}},
            UNREAD,
        ),
        (
            {"broker_transport_options": {"sep": 5, "priority_steps": [-1, 0], "visibility_timeout": 0}},
            UNREAD,
        ),
        (
            {"broker_transport_options": "********", "worker_send_task_events": "yes", "task_send_sent_event": [1]},
            AppSettings(),
        ),
        (
            {"broker_transport_options": {"visibility_timeout": float("nan"), "priority_steps": [3, 0, 256]}},
            UNREAD._replace(sep="\x06\x16"),
        ),
    ],
    ids=["airflow", "defaults", "documented", "other shapes", "odd values", "too low", "masked", "not standard"],
)
def test_conf(changes: dict[str, Any], expected: AppSettings) -> None:
    """A few settings of an application are kept, with kombu's defaults; an unreadable setting affects no other."""
    reply = decode_reply(answer("conf", CONF | changes))
    assert expected == reply.answer
    assert "****" not in repr(reply)


def test_conf_under_old_names() -> None:
    """An application that uses the setting names of Celery 3 reports the same values under these names."""
    old = {"BROKER_TRANSPORT_OPTIONS": {"visibility_timeout": 7}, "CELERY_SEND_EVENTS": True, "BROKER_USE_SSL": False}
    expected = AppSettings(7, "\x06\x16", DEFAULT_STEPS, sends_task_events=True)
    assert expected == decode_reply(answer("conf", old)).answer


def test_what_is_no_conf() -> None:
    """An error in place of the settings is refused, and not read as settings without values."""
    with pytest.raises(DecodeError, match="conf"):
        decode_reply(answer("conf", {"error": "no"}))
