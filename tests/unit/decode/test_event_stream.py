# SPDX-License-Identifier: Apache-2.0
"""Decoding of captured messages, and of broken ones."""

import base64
import contextlib
import json
from pathlib import Path
from typing import Any

import msgpack
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from celery_redis_exporter.decode.event_stream import decode_event_message, decode_message
from celery_redis_exporter.errors import DecodeError
from celery_redis_exporter.records.events import (
    Broken,
    EventMessage,
    TaskFailed,
    TaskReceived,
    TaskSent,
    TaskStarted,
    TaskSucceeded,
    UnknownEvent,
    WorkerHeartbeat,
)
from tests.support.sizes import scaled

SAMPLES = Path(__file__).parents[2] / "fixtures/events/celery-5.7"


def load(name: str) -> Any:  # noqa: ANN401 -- JSON
    """Load a captured message."""
    return json.loads((SAMPLES / f"{name}.json").read_text(encoding="utf-8"))


def envelope(body: bytes, content_type: str = "application/json", **more: object) -> bytes:
    """Return a message as kombu publishes it."""
    properties = {"body_encoding": "base64"}
    encoded = base64.b64encode(body).decode()
    return json.dumps({"body": encoded, "content-type": content_type, "properties": properties} | more).encode()


EVENTS = sorted(
    path.stem for path in SAMPLES.glob("*.json") if path.stem.startswith(("task-", "worker-", "single-", "global-"))
)


@pytest.mark.parametrize("name", EVENTS)
def test_captured_messages(name: str) -> None:
    """Every captured message yields its events, in order, with the times and names that were sent."""
    sample = load(name)
    body = sample["decoded_body"]
    sent = body if isinstance(body, list) else [body]
    known = [event for event in sent if event["type"] != "task-progress"]
    decoded = decode_message(sample["raw_payload"].encode())
    events = [part for part in decoded if not isinstance(part, UnknownEvent | Broken)]
    assert [event["type"] for event in known] == [type(event).__struct_config__.tag for event in events]
    assert [event["timestamp"] for event in known] == [event.timestamp for event in events]
    assert [UnknownEvent()] * (len(sent) - len(known)) == [part for part in decoded if part not in events]


def test_fields_of_a_life() -> None:
    """The fields that metrics need are decoded unchanged."""
    sent = decode_message(load("task-sent")["raw_payload"].encode())[0]
    assert isinstance(sent, TaskSent)
    assert ("wapp.add", "celery", None, 0) == (sent.name, sent.queue, sent.eta, sent.retries)
    events = decode_message(load("serializer-msgpack")["raw_payload"].encode())
    received, started, succeeded = events
    assert isinstance(received, TaskReceived)
    assert isinstance(started, TaskStarted)
    assert isinstance(succeeded, TaskSucceeded)
    assert "wapp.add" == received.name
    assert received.uuid == started.uuid == succeeded.uuid
    assert succeeded.runtime is not None
    beat = decode_message(load("worker-heartbeat")["raw_payload"].encode())[0]
    assert isinstance(beat, WorkerHeartbeat)
    assert ("w1@host1", 13925, 2.0, 0, 0, (0.38, 0.39, 0.2)) == (
        beat.hostname, beat.pid, beat.freq, beat.active, beat.processed, beat.loadavg,
    )  # fmt: skip


def test_heartbeat_on_demand_has_no_counts() -> None:
    """The heartbeat that answers a remote command has unknown counts, not zeros."""
    beat = decode_message(load("worker-heartbeat-wakeup")["raw_payload"].encode())[0]
    assert isinstance(beat, WorkerHeartbeat)
    assert (None, None, None) == (beat.active, beat.processed, beat.loadavg)


def test_user_data_is_not_decoded() -> None:
    """Decoded events contain no arguments, keyword arguments or results of tasks."""
    body = {
        "type": "task-received", "uuid": "u", "timestamp": 1.0, "hostname": "h", "name": "n",
        "args": "('planted-secret',)", "kwargs": "{'k': 'planted-secret'}", "result": "'planted-secret'",
    }  # fmt: skip
    decoded = decode_message(envelope(json.dumps(body).encode()))
    assert b"planted-secret" not in msgspec.json.encode(decoded)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "envelope"),
        (b"\xff\xfe\x00", "envelope"),
        (b"[1, 2]", "envelope"),
        (b'{"task_id": "a result, published by the result backend"}', "envelope"),
        (b"[" * 100_000, "envelope"),
        (envelope(b"{}", content_type="application/x-python-serialize"), "serializer"),
        (envelope(b"- a", content_type="application/x-yaml"), "serializer"),
        (envelope(b""), "body"),
        (envelope(b"{}"), "body"),
        (envelope(b"nonsense"), "body"),
        (envelope(b"{" * 100_000), "body"),
        (envelope(b'{"type": "task-started", "uuid": "u"}'), "body"),
        (load("pidbox-hello")["raw_payload"].encode(), "body"),
        (load("serializer-pickle")["raw_payload"].encode(), "serializer"),
    ],
    ids=lambda value: value if isinstance(value, str) else repr(value[:24]),
)
def test_useless_messages(payload: bytes, reason: str) -> None:
    """A message without a usable part is refused with its reason."""
    with pytest.raises(DecodeError) as caught:
        decode_message(payload)
    assert reason == caught.value.reason


def started(**changes: object) -> dict[str, object]:
    """Return a valid task-started, with changes."""
    return {"type": "task-started", "uuid": "u", "timestamp": 1.0, "hostname": "h"} | changes


@pytest.mark.parametrize(
    "broken",
    [
        started(timestamp="yesterday"), started(timestamp=-1), started(timestamp=1e300), started(uuid=None),
        started(uuid="x" * 513), started(hostname=7), {"no": "type"}, {"type": 3}, 3, None,
    ],
    ids=repr,
)  # fmt: skip
def test_a_broken_event_costs_itself_alone(broken: object) -> None:
    """One broken event in a batch is refused, and the others are kept."""
    batch = [started(uuid="before"), broken, started(uuid="after")]
    decoded = decode_message(envelope(json.dumps(batch).encode()))
    before, refused, after = decoded
    assert Broken("schema") == refused
    assert ["before", "after"] == [event.uuid for event in (before, after) if isinstance(event, TaskStarted)]


def test_unknown_types_are_no_errors() -> None:
    """Events of unknown types (custom events, gossip) are counted separately, next to the known ones."""
    batch = [started(), {"type": "task-progress", "percent": 50}, {"type": "worker-elect"}]
    decoded = decode_message(envelope(json.dumps(batch).encode()))
    assert [TaskStarted, UnknownEvent, UnknownEvent] == [type(part) for part in decoded]


def test_body_without_base64() -> None:
    """A body that the transport option body_encoding leaves as text is read as text."""
    body = json.dumps([started()])
    for message in (
        {"body": body, "content-type": "application/json", "properties": {"body_encoding": None}},
        {"body": body, "content-type": "application/json"},
    ):
        assert 1 == len(decode_message(json.dumps(message).encode()))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0])
def test_numbers_that_are_none(value: float) -> None:
    """Not-a-number and infinite times, which msgpack can carry, are refused."""
    body = msgpack.packb([started(timestamp=value), started()])
    decoded = decode_message(envelope(body, "application/x-msgpack"))
    assert [Broken, TaskStarted] == [type(part) for part in decoded]


def test_traceback_is_kept_as_it_came() -> None:
    """The traceback of a failure stays undecoded bytes."""
    failed = decode_message(load("single-gevent-task-failed")["raw_payload"].encode())[0]
    assert isinstance(failed, TaskFailed)
    assert bytes(failed.traceback).startswith(b'"Traceback')


@given(st.binary(max_size=200))
def test_any_bytes(payload: bytes) -> None:
    """Any bytes, as a message or as a body, yield events or a DecodeError, and nothing else."""
    for message in (payload, envelope(payload), envelope(payload, "application/x-msgpack")):
        with contextlib.suppress(DecodeError):
            decode_message(message)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
FIELDS = ["uuid", "timestamp", "hostname", "name", "queue", "eta", "retries", "runtime", "exception", "traceback",
          "pid", "freq", "active", "processed", "loadavg"]  # fmt: skip
TYPES = ["task-sent", "task-received", "task-started", "task-succeeded", "task-failed", "worker-heartbeat", "x"]


# Drawing the first example takes a second while another process uses the core; the code under test is not slow there.
@settings(max_examples=scaled(30, 100), suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.builds(
    lambda kind, fields: {"type": kind} | fields, st.sampled_from(TYPES), st.dictionaries(st.sampled_from(FIELDS), JSON)
), max_size=4))  # fmt: skip
def test_any_fields(batch: list[dict[str, Any]]) -> None:
    """Events with fields of any type yield as many parts as there were, and raise no exception."""
    try:
        body = json.dumps(batch, allow_nan=False).encode()
    except ValueError:
        return
    decoded = decode_message(envelope(body))
    assert len(batch) == len(decoded)


def test_messages_without_an_envelope_are_decoded_alike() -> None:
    """An AMQP body without an envelope is decoded like one in an envelope; pickle is refused there, too."""
    body = b'[{"type":"task-started","uuid":"u","timestamp":1.0,"hostname":"w"}]'
    (started,) = decode_event_message(EventMessage(body, "application/json"))
    assert TaskStarted("u", 1.0, "w") == started
    for message, reason in (
        (EventMessage(body, "application/x-python-serialize"), "serializer"),
        (EventMessage(b"neither", "application/json"), "body"),
    ):
        with pytest.raises(DecodeError) as caught:
            decode_event_message(message)
        assert reason == caught.value.reason
