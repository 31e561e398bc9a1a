# SPDX-License-Identifier: Apache-2.0
"""Events in other serializers, and messages that are not events."""

import json
from pathlib import Path

import pytest

from tests.integration.celery_workers import QUICK, WorkerOptions
from tests.integration.conftest import Programs
from tests.integration.exporters import ONE_RUN, ONE_SUCCESS, times
from tests.integration.processes import ROOT
from tests.support.waiting import eventually

pytestmark = pytest.mark.servers

SAMPLES = ROOT / "tests" / "fixtures" / "events" / "celery-5.7"
INVALID = "celery_exporter_events_invalid_total"
CHANNEL = "/0.celeryev/task.multi"


def raw(sample: str) -> str:
    """Return a captured message as it was published."""
    return str(json.loads((SAMPLES / f"{sample}.json").read_text(encoding="utf-8"))["raw_payload"])


def envelope(body: str, content_type: str = "application/json") -> str:
    """Return kombu's envelope around a body that is plain text."""
    return json.dumps({"body": body, "content-type": content_type, "properties": {}})


def test_msgpack_events_are_counted(programs: Programs) -> None:
    """Events in msgpack are counted exactly, with workers and exceptions."""
    server = programs.redis()
    exporter = programs.listening(server)
    packed = {"event_serializer": "msgpack", "accept_content": ["json", "msgpack"]}
    worker = programs.worker(server, options=WorkerOptions(settings=packed, arguments=QUICK))
    app = programs.publisher(server, **packed)
    for _ in range(3):
        app.send_task("packed")
    app.send_task("fail")
    app.send_task("kill_child")
    exporter.agrees("packed", times(3, ONE_SUCCESS))
    exporter.agrees("fail", {**ONE_RUN, "failure": 1, "ValueError": 1, "runtime failure": 1})
    exporter.agrees("kill_child", {**ONE_RUN, "failure": 1, "WorkerLostError": 1, "runtime failure": 1})
    eventually(lambda: exporter.value("celery_worker_load_average", worker=worker.name, period="1m") is not None)
    assert [] == exporter.labels(INVALID)


def test_pickled_events_are_counted_and_never_loaded(programs: Programs, tmp_path: Path) -> None:
    """A pickled message is counted by its reason, and is never unpickled."""
    server = programs.redis()
    exporter = programs.listening(server)
    mark = tmp_path / "loaded"
    bomb = f"cos\nsystem\n(S'touch {mark}'\ntR."
    assert server.command("PUBLISH", CHANNEL, raw("serializer-pickle")) == 1
    server.command("PUBLISH", CHANNEL, envelope(bomb, "application/x-python-serialize"))
    server.command("PUBLISH", CHANNEL, raw("serializer-yaml"))
    eventually(lambda: exporter.value(INVALID, reason="serializer") == 3)
    assert not mark.exists()
    assert {} == exporter.account("wapp.add")


def test_garbage_is_counted_by_its_reason(programs: Programs) -> None:
    """Each kind of invalid message has its reason, and events after it are still counted."""
    server = programs.redis()
    exporter = programs.listening(server)
    for reason, garbage in (
        ("envelope", "garbage"),
        ("envelope", b"\xff\xfe"),
        ("envelope", "[" * 100_000),
        ("body", envelope("garbage")),
        ("schema", envelope('[{"type": "task-started", "uuid": "a"}]')),
        ("schema", envelope('[{"type": "task-started", "uuid": null, "hostname": "w", "timestamp": 1.0}]')),
    ):
        before = exporter.value(INVALID, reason=reason) or 0
        server.command("PUBLISH", CHANNEL, garbage)
        eventually(lambda reason=reason, before=before: exporter.value(INVALID, reason=reason) == before + 1)  # type: ignore[misc]
    custom = {"type": "task-progress", "uuid": "a", "hostname": "w", "timestamp": 1.0}
    server.command("PUBLISH", CHANNEL, envelope(json.dumps(custom)))
    eventually(lambda: exporter.value("celery_exporter_events_total", type="other") == 1)
    programs.publisher(server).send_task("packed")
    eventually(lambda: exporter.account("packed") == {"sent": 1})
    assert exporter.hears()
    assert [] == exporter.labels("celery_exporter_unexpected_errors_total")
