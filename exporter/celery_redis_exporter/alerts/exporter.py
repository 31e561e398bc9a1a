# SPDX-License-Identifier: Apache-2.0
"""Rules about the exporter itself: that it runs and receives every event."""

from celery_redis_exporter.alerts.rule import BY, TARGET, Alert, RuleGroup, once


def _gone(matcher: str = "") -> str:
    return f"up{matcher} == 0 and on (@{{target}}, instance) last_over_time(celery_exporter_build_info[14d])"


GONE = _gone()


def _missing(by: str, matcher: str, unless: str = "") -> str:
    """Return the exporters of the last day of which none with the same labels ``by`` is left, if none is down."""
    return (
        f"(max by ({BY}) (last_over_time(celery_exporter_build_info{matcher}[1d]))"
        f" unless on ({by}) (max by ({by}) (celery_exporter_build_info) or max by ({by}) ({GONE})){unless})"
    )


APPLICATION, NO_APPLICATION = '{application!=""}', '{application=""}'
FOR_ALL = (
    f" unless on ({TARGET}) (max by ({TARGET}) (celery_exporter_build_info{NO_APPLICATION})"
    f" or max by ({TARGET}) ({_gone(NO_APPLICATION)}))"
)
"""An exporter whose target has no label application can have replaced that of an application."""
# A broker that is down says so itself; what follows from it must not fire for a moment when it returns.
BROKER_ANSWERS = (
    'unless on (@{by}) (max by (@{by}) (redis_up{redis="broker"}) or max by (@{by}) (celery_exporter_broker_up)) == 0'
)
BEATING = "max by (@{by}) (celery_worker_up == 1 and celery_worker_heartbeats_enabled == 1)"
"""Whether a worker is online that sends heartbeats: others are silent whenever there is nothing to do."""

ALERTS = (
    Alert(
        "CeleryWatchdog", "none",
        "vector(1)",
        "This alert always fires.",
        "It shows that alerts arrive; send it to a dead man's switch.",
        panel="exporter",
    ),
    Alert(
        "CeleryExporterDown", "critical",
        GONE,
        "The exporter can't be scraped.",
        "{{ $labels.instance }} does not answer Prometheus: no other alert of this exporter can fire.",
        wait="5m", panel="exporter",
    ),
    Alert(
        "CeleryExporterAbsent", "critical",
        f"{_missing(BY, APPLICATION, FOR_ALL)} or {_missing(TARGET, NO_APPLICATION)}"
        f" or (absent_over_time(celery_exporter_build_info[1d]) unless on () ({GONE}))",
        "There is no exporter.",
        "No target has celery_exporter_build_info{{ with $labels.job }}, and {{ . }}"
        "{{ with $labels.application }} ({{ . }}){{ end }} had one within a day{{ end }}:"
        " none is discovered.",
        wait="15m", panel="exporter",
    ),
    Alert(
        "CeleryEventStreamDown", "critical",
        f"max by ({BY}) (celery_exporter_event_stream_up) == 0 {BROKER_ANSWERS}",
        "The exporter receives no events.",
        "The subscription to Celery's events is down: no task is counted, and no worker is observed.",
        wait="5m", keep="5m", panel="exporter",
    ),
    Alert(
        "CeleryEventsSilent", "critical",
        "time() - max by (@{by}) (celery_exporter_last_event_timestamp_seconds) > @{seconds}"
        f" and on ({BY}) {BEATING} == 1"
        " and on (@{by}) max by (@{by}) (celery_exporter_event_stream_up) == 1",
        "No event arrives although workers send heartbeats.",
        "The last event arrived {{ $value | humanizeDuration }} ago.",
        wait="2m", parameters={"seconds": 300}, panel="exporter",
    ),
    Alert(
        "CeleryEventsLost", "warning",
        once("increase(celery_worker_events_missed_total[10m])", BY) + " > @{executions} + 0.5",
        "Events of executions were lost.",
        "Executions of the last ten minutes that were not counted, by the workers' own count:"
        ' {{ $value | printf "%.0f" }}.',
        keep="15m", parameters={"executions": 0}, panel="exporter",
    ),
    Alert(
        "CeleryEventBacklogGrowing", "warning",
        "max by (@{by}) (celery_exporter_event_backlog_bytes) > @{bytes}",
        "The exporter falls behind.",
        "{{ $value | humanize1024 }}B of events wait in Redis for the exporter; Redis cuts it off at its"
        " client-output-buffer-limit for pubsub.",
        wait="1m", parameters={"bytes": 4_194_304}, panel="exporter",
    ),
    Alert(
        "CeleryEventsInvalid", "warning",
        once("increase(celery_exporter_events_invalid_total[10m])", f"{BY}, reason") + " > @{events} + 0.5",
        "Events can't be read.",
        'Messages skipped in the last ten minutes ({{ $labels.reason }}): {{ $value | printf "%.0f" }}.',
        keep="15m", parameters={"events": 0}, panel="exporter",
    ),
    Alert(
        "CeleryEventsUnmatched", "warning",
        once("increase(celery_exporter_tasks_unmatched_total[10m])", BY) + " > @{events} + 0.5",
        "Events of unknown tasks arrive.",
        'Events of the last ten minutes whose task is not known: {{ $value | printf "%.0f" }}. They are not counted.',
        wait="15m", parameters={"events": 20}, panel="exporter",
    ),
    Alert(
        "CeleryTasksForgotten", "warning",
        once('increase(celery_exporter_tasks_evicted_total{reason="count"}[10m])', BY) + " > @{tasks} + 0.5",
        "Unfinished tasks were forgotten.",
        "Unfinished tasks that the exporter forgot in the last ten minutes, because there are more than"
        ' tracking.max_tasks: {{ $value | printf "%.0f" }}.',
        keep="15m", parameters={"tasks": 0}, panel="exporter",
    ),
    Alert(
        "CeleryExporterCollectorFailing", "warning",
        f"min by ({BY}, collector) (celery_exporter_collector_success) == 0 {BROKER_ANSWERS}",
        "A background read of the exporter fails.",
        "The collector {{ $labels.collector }} fails. The exporter's log states the reason.",
        wait="10m", panel="exporter",
    ),
    Alert(
        "CeleryExporterSeriesLimitHit", "warning",
        once("increase(celery_exporter_series_dropped_total[1h])", f"{BY}, metric") + " > 0",
        "There are more series than the exporter keeps.",
        "New series of {{ $labels.metric }} refused in the last hour, and counted under __overflow__:"
        ' {{ $value | printf "%.0f" }}.',
        panel="exporter",
    ),
    Alert(
        "CeleryExporterCommandDenied", "info",
        "max by (@{by}, redis, command) (celery_exporter_command_denied) == 1",
        "A server refuses a command of the exporter.",
        "{{ $labels.redis }} refuses {{ $labels.command }}: the metrics that come from it are missing.",
        wait="15m", panel="exporter",
    ),
    Alert(
        "CeleryExporterBug", "warning",
        once("increase(celery_exporter_unexpected_errors_total[1h])", f"{BY}, collector") + " > 0",
        "An unexpected error occurred in the exporter.",
        'Unexpected errors of {{ $labels.collector }} in the last hour: {{ $value | printf "%.0f" }}. The log has their'
        " tracebacks; please report them.",
        panel="exporter",
    ),
)  # fmt: skip

GROUP = RuleGroup("celery-exporter", (), ALERTS)
