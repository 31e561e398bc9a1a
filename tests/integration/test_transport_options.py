# SPDX-License-Identifier: Apache-2.0
"""Celery's transport options: a worker and the exporter agree on every name that can be configured."""

import json
import sys
from pathlib import Path

import pytest

from tests.integration.celery_workers import WorkerOptions
from tests.integration.checks import LIVELY, SOUND, findings_of, start_check
from tests.integration.conftest import Programs
from tests.integration.exporters import ONE_RUN, ONE_SUCCESS
from tests.integration.processes import free_port
from tests.support.certificates import Authority
from tests.support.waiting import eventually

pytestmark = pytest.mark.servers

CHOSEN = {
    "global_keyprefix": "proj1:",
    "sep": "|",
    "priority_steps": [0, 4],
    "visibility_timeout": 1234,
    "unacked_key": "held",
    "unacked_index_key": "held_since",
}
EXCHANGES = {"event_exchange": "news", "control_exchange": "orders"}


class Address:
    """A broker with a custom URL."""

    def __init__(self, url: str) -> None:
        self._url = url

    def url(self) -> str:
        """Return the URL."""
        return self._url


@pytest.mark.parametrize("fanout", [{"fanout_prefix": "/chosen."}, {"fanout_prefix": False, "fanout_patterns": False}])
def test_a_worker_with_every_option_is_seen_whole(
    programs: Programs, tmp_path: Path, fanout: dict[str, object]
) -> None:
    """With the worker's options the exporter counts tasks, reads queues and deliveries, and receives replies."""
    server, options = programs.redis(), {**CHOSEN, **fanout}
    settings = {"broker_transport_options": options, **EXCHANGES}
    exchanges = ("--event-exchange", "news", "--control-exchange", "orders")
    exporter = programs.listening(server, "--broker-transport-options", json.dumps(options), *exchanges)
    worker = programs.worker(server, options=WorkerOptions(settings=settings))
    app = programs.publisher(server, **settings)
    app.send_task("plain")
    exporter.agrees("plain", ONE_SUCCESS)
    gate = tmp_path / "gate"
    app.send_task("hold_late", (str(gate),))
    exporter.agrees("hold_late", {**ONE_RUN, "running": 1})
    eventually(lambda: exporter.value("celery_unacked_messages") == 1)
    assert exporter.value("celery_broker_visibility_timeout_seconds") == 1234
    for priority in (0, 4, 9):
        app.send_task("kept", queue="parked", priority=priority)
    eventually(lambda: exporter.value("celery_queue_length", queue="parked") == 3)
    assert exporter.value("celery_queue_priority_length", queue="parked", priority="4") == 2
    eventually(lambda: exporter.value("celery_worker_concurrency", worker=worker.name) == 2)
    gate.touch()
    exporter.agrees("hold_late", ONE_SUCCESS)
    eventually(lambda: exporter.value("celery_unacked_messages") == 0)


def test_what_workers_report_is_used(programs: Programs) -> None:
    """Without configured options the exporter uses those that workers report, also after all workers stopped."""
    server = programs.redis()
    exporter = programs.listening(server, "--celery.inspect-interval", "1s")
    assert exporter.value("celery_broker_visibility_timeout_seconds") == 3600
    day = {"visibility_timeout": 86400, "sep": ":", "priority_steps": range(0, 10, 5)}
    worker = programs.worker(server, options=WorkerOptions(events=False, settings=_as_json(day)))
    eventually(lambda: exporter.value("celery_broker_visibility_timeout_seconds") == 86400)
    app = programs.publisher(server, broker_transport_options=day)
    for priority in (0, 5, 9):
        app.send_task("kept", queue="parked", priority=priority)
    eventually(lambda: exporter.value("celery_queue_length", queue="parked") == 3)
    assert exporter.value("celery_queue_priority_length", queue="parked", priority="5") == 2
    hour = {"visibility_timeout": 3600.5}
    other = programs.worker(server, "other", options=WorkerOptions(settings={"broker_transport_options": hour}))
    eventually(lambda: exporter.value("celery_broker_visibility_timeout_seconds") == 3600.5)
    other.process.end()
    eventually(lambda: exporter.value("celery_broker_visibility_timeout_seconds") == 86400)
    worker.process.end()
    eventually(lambda: exporter.value("celery_workers", state="online") == 0)
    assert exporter.value("celery_broker_visibility_timeout_seconds") == 86400


def _as_json(options: dict[str, object]) -> dict[str, object]:
    """Return Celery's settings with these transport options, ranges as lists."""
    steps = options["priority_steps"]
    assert isinstance(steps, range)
    return {"broker_transport_options": options | {"priority_steps": list(steps)}}


def test_settings_that_workers_contradict_are_found(programs: Programs) -> None:
    """The exporter uses its own visibility timeout, and ``check`` names the workers' value and the flag for it."""
    server, options = programs.redis(options=SOUND), {"broker_transport_options": {"visibility_timeout": 7200}}
    worker = programs.worker(server, options=WorkerOptions(settings=options, arguments=LIVELY.arguments))
    flag = "--broker-transport-options.visibility-timeout"
    exporter = programs.listening(server, "--celery.inspect-interval", "1s", flag, "1h")
    eventually(lambda: exporter.value("celery_worker_concurrency", worker=worker.name) == 2)
    assert exporter.value("celery_broker_visibility_timeout_seconds") == 3600
    found = findings_of(start_check(programs, server.url(), "--json", "--listen=3s", flag, "1h"))
    assert [f"{flag}=7200"] == found["settings-visibility-timeout"]["remedy"]
    found = findings_of(start_check(programs, server.url(), "--json", "--listen=3s", flag, "2h"))
    assert "control-answers" in found
    assert "settings-visibility-timeout" not in found


def test_options_of_celerys_own_are_noted(programs: Programs) -> None:
    """Options of Celery's connections are accepted, and the log reports that they have no effect."""
    options = {"socket_timeout": 5, "retry_policy": {"timeout": 5}, "visibility_timeout": 60}
    exporter = programs.listening(programs.redis(), "--broker-transport-options", json.dumps(options))
    notes = [line["note"] for line in exporter.lines("app.configuration_noted")]
    assert ["retry_policy", "socket_timeout"] == sorted(note.split()[1] for note in notes)
    assert exporter.value("celery_broker_visibility_timeout_seconds") == 60


def test_a_unix_socket_does_for_workers_too(programs: Programs) -> None:
    """With the same URL as Celery on a unix socket all tasks of a worker count."""
    server = programs.redis(unix=True)
    address = Address(f"redis+socket://{server.socket}?virtual_host=2")
    exporter = programs.listening(address)
    programs.worker(address)
    programs.publisher(address).send_task("kept")
    exporter.agrees("kept", ONE_SUCCESS)


def test_tls_does_for_workers_too(programs: Programs, tmp_path: Path) -> None:
    """With the same URL as Celery on a TLS port all tasks of a worker count."""
    authority, port = Authority(tmp_path, "authority"), free_port()
    pair = authority.issue("redis")
    options = ("--tls-port", f"{port}", "--tls-cert-file", f"{pair.certificate}", "--tls-key-file", f"{pair.key}",
               "--tls-ca-cert-file", f"{authority.certificate}", "--tls-auth-clients", "no")  # fmt: skip
    programs.redis(options=options)
    ssl = f"ssl_cert_reqs=required&ssl_ca_certs={authority.certificate}"
    address = Address(f"rediss://localhost:{port}/0?{ssl}")
    exporter = programs.listening(address)
    programs.worker(address)
    programs.publisher(address).send_task("secured")
    exporter.agrees("secured", ONE_SUCCESS)


@pytest.mark.parametrize(("given", "message"), [
    ('{"visibility_timeout": "soon"}', "visibility_timeout: must be a duration"),
    ('{"visibilty_timeout": 3600}', "did you mean broker_transport_options.visibility_timeout?"),
    ('{"priority_steps": [0, "x"]}', "priority_steps: must be a whole number"),
    ("{", "must be a JSON object"),
])  # fmt: skip
def test_an_option_that_cant_be_read_ends_the_start(programs: Programs, given: str, message: str) -> None:
    """A wrong transport option ends the program with exit code 2 and one line that names it."""
    program = programs.run(sys.executable, "-m", "celery_redis_exporter", "--broker-transport-options", given)
    assert program.ended() == 2
    assert message in program.output()
    assert len(program.output().splitlines()) == 1
