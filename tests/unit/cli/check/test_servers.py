# SPDX-License-Identifier: Apache-2.0
"""The findings that ``check`` reports for a broker that refuses to count queues.

The RabbitMQ of the integration tests grants all permissions (see ``unit/sources/test_kombu_queues.py``),
so the broker is a fake here.
"""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import cast

from celery_redis_exporter.catalog.queues import QUEUE_LENGTH
from celery_redis_exporter.cli.check.checkup import Checkup
from celery_redis_exporter.cli.check.finding import Finding
from celery_redis_exporter.cli.check.servers import server_findings
from celery_redis_exporter.daemon.monitor import Monitor
from celery_redis_exporter.records.samples import Sample
from celery_redis_exporter.settings import load
from celery_redis_exporter.sources.refusals import Denial


def findings(names: str, there: Sequence[str], *denials: Denial) -> dict[str, Finding]:
    """Return the findings by code."""
    settings = load(["--broker-url", "amqp://exporter:SECRET@rabbit//", "--queues.names", names], {})
    samples = [Sample(QUEUE_LENGTH, (name,), 0) for name in there]
    target = SimpleNamespace(name="broker", read=lambda _: samples, denied=list(denials))
    application = SimpleNamespace(broker=SimpleNamespace(), queues=SimpleNamespace(shown=str))
    servers = SimpleNamespace(reads=SimpleNamespace(targets=[target]))
    monitor = SimpleNamespace(settings=settings, application=application, servers=servers)
    return {found.code: found for found in server_findings(Checkup(cast("Monitor", monitor), 0.0))}


def test_a_refused_queue_is_not_missing() -> None:
    """A refusal is a warning with the command that grants the permission, and the queue is not noted as absent."""
    found = findings("celery,other,gone", ["celery"], Denial("queue.declare", "grant <user> it", ("other",)))
    assert "broker-queue-denied" in found
    assert ("warn", ("grant exporter it",)) == (found["broker-queue-denied"].level, found["broker-queue-denied"].lines)
    assert "other" in found["broker-queue-denied"].text
    assert found["broker-queue-absent"].text.endswith(": gone")
    assert "1 of 3 queues" in found["broker-answers"].text
    assert "SECRET" not in str(found)


def test_nothing_is_said_of_what_is_granted() -> None:
    """Without a refusal there is no finding about refusals."""
    assert {"broker-answers"} == findings("celery", ["celery"]).keys()
