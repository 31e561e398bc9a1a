# SPDX-License-Identifier: Apache-2.0
"""Queues in Redis: their length, their age, and their unacknowledged messages."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from celery_redis_exporter.clock import SystemClock
from tests.integration.celery_workers import WorkerOptions
from tests.integration.checks import findings_of, start_check
from tests.integration.conftest import Programs
from tests.integration.redis_servers import RedisServer
from tests.support.waiting import eventually

pytestmark = pytest.mark.servers

LENGTH = "celery_queue_length"
AGE = "celery_queue_oldest_message_age_seconds"
SEARCH_OFF = ("--queues.discovery-interval", "0")
QUIET = {"task_send_sent_event": False}


def publish_sent(server: RedisServer, task_id: str, queue: str, timestamp: float) -> None:
    """Publish a task-sent event with a chosen timestamp, as Celery would."""
    event = {"type": "task-sent", "uuid": task_id, "name": "aged", "queue": queue, "retries": 0, "eta": None}
    body = base64.b64encode(json.dumps(event | {"timestamp": timestamp}).encode()).decode()
    envelope = {"body": body, "content-type": "application/json", "properties": {"body_encoding": "base64"}}
    assert server.command("PUBLISH", "/0.celeryev/task.sent", json.dumps(envelope)) == 1


def test_lengths_are_told_by_priority(programs: Programs) -> None:
    """A queue's length is the sum over its priorities, which are also shown one by one."""
    server = programs.redis()
    exporter = programs.listening(server, *SEARCH_OFF)
    app = programs.publisher(server)
    for priority, count in ((0, 4), (3, 3), (6, 2), (9, 1)):
        for _ in range(count):
            app.send_task("kept", priority=priority)
    eventually(lambda: exporter.value(LENGTH, queue="celery") == 10)
    steps = {"0": 4, "3": 3, "6": 2, "9": 1}
    found = {step: exporter.value("celery_queue_priority_length", queue="celery", priority=step) for step in steps}
    assert steps == found


def test_empty_queues_of_the_settings_are_zero(programs: Programs) -> None:
    """A queue named in the settings has length 0 while Redis has no key for it."""
    exporter = programs.listening(programs.redis(), *SEARCH_OFF, "--queues.names", "mail,orders")
    assert {("mail", 0), ("orders", 0)} == {(name, exporter.value(LENGTH, queue=name)) for name in ("mail", "orders")}
    assert exporter.value(AGE, queue="mail") == 0


def test_queues_are_known_from_what_is_sent(programs: Programs) -> None:
    """A queue is shown as soon as a task is sent to it, and remains when it is empty again."""
    server = programs.redis()
    exporter = programs.listening(server, *SEARCH_OFF)
    app = programs.publisher(server)
    app.send_task("kept", queue="orders")
    eventually(lambda: exporter.value(LENGTH, queue="orders") == 1)
    server.command("DEL", "orders")
    eventually(lambda: exporter.value(LENGTH, queue="orders") == 0)


def test_queues_are_found_by_their_bindings(programs: Programs) -> None:
    """A queue without events is found in the key space, and Celery's internal queues are left out."""
    server = programs.redis()
    app = programs.publisher(server, **QUIET)
    app.send_task("kept", queue="hidden")
    programs.worker(server)
    exporter = programs.exporter("--broker-url", server.url())
    eventually(lambda: exporter.value(LENGTH, queue="hidden") == 1)
    eventually(lambda: exporter.value(LENGTH, queue="celery") == 0)
    assert {"hidden", "celery"} == {labels["queue"] for labels in exporter.labels(LENGTH)}
    assert exporter.value("celery_reply_queues") == 0
    assert exporter.value("celery_exporter_collector_success", collector="queue_discovery") == 1


def test_queues_without_events_are_found_soon_after_the_first_search(programs: Programs) -> None:
    """A queue that is first used after the first search, in the time before events arrive, is found by the next one."""
    server = programs.redis()
    exporter = programs.exporter("--broker-url", server.url())
    eventually(lambda: exporter.value("celery_exporter_collector_success", collector="queue_discovery") == 1)
    programs.publisher(server, **QUIET).send_task("plain", queue="orders")
    eventually(lambda: exporter.value(LENGTH, queue="orders") == 1)


def test_global_keyprefix_is_honoured(programs: Programs) -> None:
    """With the same key prefix in Celery and the exporter, events, queues and bindings have names without it."""
    server = programs.redis()
    prefixed = {"broker_transport_options": {"global_keyprefix": "proj[1]:"}}
    programs.publisher(server, **QUIET, **prefixed).send_task("kept", queue="bound")
    exporter = programs.listening(server, "--broker-transport-options.global-keyprefix", "proj[1]:")
    programs.publisher(server, **prefixed).send_task("kept", queue="orders")
    eventually(lambda: exporter.value(LENGTH, queue="orders") == 1)
    eventually(lambda: exporter.value(LENGTH, queue="bound") == 1)
    assert exporter.account("kept") == {"sent": 1}


@pytest.mark.parametrize(("settings", "flags"), [
    ({"broker_transport_options": {"fanout_prefix": False}}, ("--broker-transport-options.fanout-prefix", "false")),
    ({"broker_transport_options": {"fanout_prefix": "a*b"}}, ("--broker-transport-options.fanout-prefix", "a*b")),
    ({"broker_transport_options": {"fanout_patterns": False}}, ("--no-broker-transport-options.fanout-patterns",)),
    ({"event_exchange": "news"}, ("--event-exchange", "news")),
])  # fmt: skip
def test_events_are_heard_where_celery_publishes_them(
    programs: Programs, settings: dict[str, Any], flags: tuple[str, ...]
) -> None:
    """With the same options as Celery the exporter receives events, also on a database other than 0."""
    server = programs.redis()
    exporter = programs.exporter("--broker-url", server.url(db=5), *flags)
    eventually(exporter.hears)
    app = programs.publisher(server, **settings)
    app.conf.broker_url = server.url(db=5)
    app.send_task("kept", queue="orders")
    eventually(lambda: exporter.account("kept") == {"sent": 1})
    eventually(lambda: exporter.value(LENGTH, queue="orders") == 1)


def test_other_priority_steps_are_summed(programs: Programs) -> None:
    """Configured priority steps and separators are read if the exporter has the same settings."""
    server = programs.redis()
    options = {"priority_steps": [0, 5], "sep": ":"}
    exporter = programs.listening(server, "--broker-transport-options", json.dumps(options))
    app = programs.publisher(server, broker_transport_options=options)
    for priority in (0, 7, 7):
        app.send_task("kept", priority=priority)
    eventually(lambda: exporter.value(LENGTH, queue="celery") == 3)
    assert exporter.value("celery_queue_priority_length", queue="celery", priority="5") == 2


def test_bindings_with_a_separator_of_the_settings(programs: Programs) -> None:
    """Queues with the application's separator are found by their bindings, without a worker or an event."""
    server = programs.redis()
    options = {"priority_steps": list(range(10)), "sep": ":"}
    app = programs.publisher(server, broker_transport_options=options, task_send_sent_event=False)
    for priority in (0, 9):
        app.send_task("kept", priority=priority)
    exporter = programs.listening(server, "--broker-transport-options", json.dumps(options))
    eventually(lambda: exporter.value(LENGTH, queue="celery") == 2)
    assert exporter.value("celery_exporter_bindings_invalid_total") == 0


def check(programs: Programs, url: str, *arguments: str) -> dict[str, dict[str, Any]]:
    """Run ``check`` on a broker with a short time of listening; return the findings by code."""
    return findings_of(start_check(programs, url, "--json", "--listen=0.2", *arguments))


def test_bindings_with_another_separator_are_no_invalid_events(programs: Programs) -> None:
    """Bindings with a separator other than the configured one have a dedicated counter and a finding of check."""
    server = programs.redis()
    options = {"sep": ":"}
    app = programs.publisher(server, broker_transport_options=options, task_send_sent_event=False)
    app.send_task("kept")
    exporter = programs.listening(server)
    eventually(lambda: exporter.value("celery_exporter_bindings_invalid_total") == 1)
    assert not exporter.metrics("celery_exporter_events_invalid_total{")
    finding = check(programs, server.url())["queues-other-separator"]
    assert "':'" in finding["found"]
    assert ["--broker-transport-options.sep=:"] == finding["remedy"]
    assert "queues-other-separator" not in check(programs, server.url(), "--broker-transport-options.sep=:")


def test_queue_names_may_hold_anything(programs: Programs) -> None:
    """Quotes, spaces and letters of any language in a queue's name are shown unchanged."""
    server = programs.redis()
    exporter = programs.listening(server)
    name = 'gr\u00f6\u00dfe "1" \\ {a}'
    programs.publisher(server).send_task("kept", queue=name)
    eventually(lambda: exporter.value(LENGTH, queue=name) == 1)


def test_queues_over_the_limit_are_counted(programs: Programs) -> None:
    """Queues beyond the limit are left out, and a metric reports it."""
    exporter = programs.listening(programs.redis(), *SEARCH_OFF, "--queues.max", "2", "--queues.names", "a,b,c")
    assert {"a", "b"} == {labels["queue"] for labels in exporter.labels(LENGTH)}
    assert exporter.value("celery_exporter_series_dropped_total", metric=LENGTH) == 1


def test_unacknowledged_messages_are_reported(programs: Programs, tmp_path: Path) -> None:
    """Messages of running acks_late tasks are unacknowledged, have an age, become overdue, and disappear at the end."""
    server = programs.redis()
    exporter = programs.listening(server, "--broker-transport-options.visibility-timeout", "1s")
    programs.worker(server, options=WorkerOptions(settings={"task_acks_late": True}))
    app = programs.publisher(server)
    assert exporter.value("celery_unacked_messages") == 0
    assert exporter.value("celery_broker_visibility_timeout_seconds") == 1
    gate = tmp_path / "gate"
    for _ in range(2):
        app.send_task("hold_late", (str(gate),))
    eventually(lambda: exporter.value("celery_unacked_messages") == 2)
    eventually(lambda: exporter.value("celery_unacked_overdue_messages") == 2)
    age = exporter.value("celery_unacked_oldest_age_seconds")
    assert age is not None
    assert 1 <= age < 60
    gate.touch()
    eventually(lambda: exporter.value("celery_unacked_messages") == 0)
    assert exporter.value("celery_unacked_overdue_messages") == 0
    assert exporter.value("celery_unacked_oldest_age_seconds") == 0


def test_scheduled_messages_are_unacknowledged(programs: Programs) -> None:
    """A task that waits for its eta is not in its queue and is unacknowledged."""
    server = programs.redis()
    exporter = programs.listening(server)
    programs.worker(server)
    programs.publisher(server).send_task("waiting", countdown=600)
    eventually(lambda: exporter.value("celery_unacked_messages") == 1)
    eventually(lambda: exporter.value(LENGTH, queue="celery") == 0)


def test_age_of_the_oldest_message_is_that_of_its_publishing(programs: Programs) -> None:
    """A queue's age starts at the task-sent event of its next message, whatever the priority."""
    server = programs.redis()
    exporter = programs.listening(server, *SEARCH_OFF)
    app = programs.publisher(server, **QUIET)
    now = SystemClock().now()
    for task_id, priority, age in (("a", 0, 500), ("b", 0, 100), ("c", 9, 1000)):
        app.send_task("aged", task_id=task_id, queue="old", priority=priority)
        publish_sent(server, task_id, "old", now - age)
    eventually(lambda: exporter.value(LENGTH, queue="old") == 3)
    oldest = eventually(lambda: (exporter.value(AGE, queue="old") or 0) > 600 and exporter.value(AGE, queue="old"))
    assert oldest is not None
    assert 1000 <= oldest < 1100
    with server.client() as client:
        client.delete("old\x06\x169")
        client.rpop("old")
    younger = eventually(lambda: exporter.value(LENGTH, queue="old") == 1 and exporter.value(AGE, queue="old"))
    assert younger is not None
    assert 100 <= younger < 200


def test_age_is_a_lower_bound_for_who_did_not_hear_the_publishing(programs: Programs) -> None:
    """An exporter that starts later counts the age from its first read of the message, and the age grows."""
    server = programs.redis()
    first = programs.listening(server)
    app = programs.publisher(server, **QUIET)
    app.send_task("aged", task_id="a", queue="old")
    publish_sent(server, "a", "old", SystemClock().now() - 500)
    eventually(lambda: (first.value(AGE, queue="old") or 0) >= 500)
    first.process.end()
    second = programs.listening(server)
    eventually(lambda: second.value(LENGTH, queue="old") == 1)
    young = second.value(AGE, queue="old")
    assert young is not None
    assert 0 <= young < 100
    eventually(lambda: (second.value(AGE, queue="old") or 0) > young + 0.5)


def test_age_is_shown_for_large_messages_at_every_scrape(programs: Programs) -> None:
    """The age of a queue is stable with a large message, which is not read at each scrape."""
    server = programs.redis()
    exporter = programs.listening(server, *SEARCH_OFF)
    programs.publisher(server).send_task("aged", ("x" * 200_000,), queue="large")
    eventually(lambda: exporter.value(AGE, queue="large") is not None)
    assert all(exporter.value(AGE, queue="large") is not None for _ in range(3))


@pytest.mark.parametrize("key", ["broken", "broken\x06\x166"])
def test_keys_of_another_type_leave_their_queue_out(programs: Programs, key: str) -> None:
    """A key that is not a list makes only the metrics of its queue missing."""
    server = programs.redis()
    server.command("SET", key, "no list")
    exporter = programs.listening(server, *SEARCH_OFF, "--queues.names", "broken,mail")
    assert exporter.value(LENGTH, queue="mail") == 0
    assert exporter.value(LENGTH, queue="broken") is None
    assert exporter.value(AGE, queue="broken") is None
    assert exporter.value("redis_up", redis="broker") == 1
    assert exporter.value("celery_unacked_messages") == 0


@pytest.mark.parametrize("sizes", [(45,), (30, 30, 30)], ids=["one", "together"])
def test_messages_larger_than_a_reply_may_be(programs: Programs, sizes: tuple[int, ...]) -> None:
    """If next messages are too large to be read, only their ages are missing."""
    server = programs.redis()
    queues = [f"large{number}" for number in range(len(sizes))]
    for queue, size in zip(queues, sizes, strict=True):
        server.command("RPUSH", queue, b"x" * (size * 2**20))
    server.command("RPUSH", "small", b"{}")
    exporter = programs.exporter(
        "--broker-url", server.url(), *SEARCH_OFF, "--queues.names", ",".join([*queues, "small"]),
        "--scrape.freshness", "0s", "--scrape.deadline", "10s",
    )  # fmt: skip
    for _ in range(3):
        samples = exporter.metrics()
        assert 1 == samples["redis_up", frozenset({("redis", "broker")})]
        assert {1.0} == {value for (name, _), value in samples.items() if name == LENGTH}
        assert not [key for key in samples if key[0] == AGE]
    assert 1 == len(exporter.lines("redis.reply_left_out"))
