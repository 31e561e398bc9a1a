# SPDX-License-Identifier: Apache-2.0
"""Report what works at the moment: the event stream, the background loops, each server."""

from collections.abc import Mapping, Sequence

from celery_redis_exporter.catalog import internals
from celery_redis_exporter.catalog import redis_server as redis_rows
from celery_redis_exporter.daemon.application import Application
from celery_redis_exporter.daemon.supervisor import STARTING, Supervisor
from celery_redis_exporter.records.report import Check
from celery_redis_exporter.records.samples import Sample
from celery_redis_exporter.settings import KombuTarget, Settings

SCRAPE_ERRORS = (redis_rows.LAST_SCRAPE_ERROR, internals.BROKER_LAST_SCRAPE_ERROR)


def background_checks(application: Application, supervisor: Supervisor) -> list[Check]:
    """Return the state of the background loops of an application."""
    trouble = supervisor.trouble()
    looked_at = {"event_stream": "Event stream"}
    if application.searches_queues:
        looked_at["queue_discovery"] = "Queue discovery"
    checks = [
        Check(label, _state_of(trouble.get(name)), trouble.get(name, "connected")) for name, label in looked_at.items()
    ]
    if application.queries_workers:
        bad, refused = trouble.get("control"), application.control.refused
        state = "off" if refused and not bad else _state_of(bad)
        checks.append(Check("Control", state, bad or refused or "queries workers in the background"))
    return checks


def server_checks(settings: Settings, found: Mapping[str, Sequence[Sample]]) -> list[Check]:
    """Return the state of each server in a scrape. ``found`` contains the samples by server."""
    targets = {target.name: target.redacted for target in settings.targets}
    brokers = {target.name for target in settings.targets if isinstance(target, KombuTarget)} | {*settings.shared}
    checks = []
    for name, samples in found.items():
        reasons = [sample.labels[1] for sample in samples if sample.metric in SCRAPE_ERRORS]
        state = "failed" if any(reasons) else "ok"
        title = "Broker" if name in brokers else f"Redis {name}"
        checks.append(Check(title, state, reasons[0] or targets.get(name, "")))
    return checks


def _state_of(trouble: str | None) -> str:
    if trouble == STARTING:
        return "starting"
    return "failed" if trouble else "ok"
