# SPDX-License-Identifier: Apache-2.0
"""Lives of exporters, and of the Prometheus that scrapes them."""

from tests.alert_life.installation import Installation, Task
from tests.alert_life.scenario import Life, at_once, ordinary, trouble
from tests.alert_life.worker import Worker

MAIL = Task("shop.mail", per_hour=240, runtime=3)


def may_take(task: str, runtime: str) -> str:
    """Return the flag that sets the runtime threshold of a task."""
    return f'--tasks={{"{task}": {{"runtime_threshold": "{runtime}"}}}}'


def shop(life: Life, *settings: str, workers: int = 3, **labels: str) -> Installation:
    """Return a small installation with workers that send mails."""
    made = life.installation(*settings, **labels)
    made.start(*(Worker(f"celery@web-{number}") for number in range(workers)))
    made.task(MAIL)
    return made


@ordinary(
    3,
    CeleryExporterDown=at_once("up == 0"),
    CeleryEventsLost=at_once(
        "sum by (namespace) (increase(celery_worker_tasks_processed_total[10m]))"
        " > 1.3 * sum by (namespace) (increase(celery_tasks_started_total[10m]))"
    ),
    CeleryEventsUnmatched=at_once("increase(celery_exporter_tasks_unmatched_total[10m]) > 0"),
)
def exporter_is_restarted(life: Life) -> None:
    """The exporter is restarted three times while tasks run, so that it does not receive their starts."""
    made = shop(life, may_take("shop.report", "15m"))
    made.task(Task("shop.report", per_hour=40, runtime=300))
    for hour in (1, 1.6, 2.2):
        made.at(hour, made.restart_exporter, 120)


@ordinary(3, CeleryExporterAbsent="absent(celery_exporter_build_info{instance='exporter-1:9808'})")
def exporter_pods_have_new_names(life: Life) -> None:
    """Each deployment of the exporter is a new target, and the old target is removed."""
    made = shop(life)
    for number, hour in enumerate((1, 2), 1):
        old = made.exporters[-1]
        new = made.add_exporter(f"exporter-{number}:9808")
        new.stop()
        made.set(new, is_target=False)
        made.at(hour, new.start)
        made.at(hour, lambda new=new: made.set(new, is_target=True))
        made.at(hour + 0.02, old.stop)
        made.at(hour + 0.02, lambda old=old: made.set(old, is_target=False))


@ordinary(3, CeleryExporterDown="up == 0")
def other_targets_are_down(life: Life) -> None:
    """A machine whose exporter is unrelated to Celery is down."""
    shop(life)
    life.foreign("up", 0, job="node", instance="db-1:9100")


@ordinary(
    3.5,
    CeleryEventStreamDown=at_once("celery_exporter_event_stream_up == 0"),
    CeleryExporterCollectorFailing=at_once("celery_exporter_collector_success == 0"),
    RedisDown=at_once("redis_up == 0"),
)
def redis_is_restarted(life: Life) -> None:
    """The broker restarts for maintenance, in forty seconds."""
    made = shop(life)
    for hour in (1, 2.51, 3.02):
        made.at(hour, made.break_broker)
        made.at(hour + 40 / 3600, lambda: made.break_broker(down=False))


@ordinary(6, CeleryEventsSilent="time() - celery_exporter_last_event_timestamp_seconds > 300")
def heartbeats_are_off(life: Life) -> None:
    """Workers run with --without-heartbeat, and few tasks are published at night."""
    made = life.installation()
    made.start(Worker("celery@web-1", beats=False), Worker("celery@web-2", beats=False))
    made.task(Task("shop.mail", per_hour=lambda now: 60 if now < 2 * 3600 else 1.5, runtime=2))


@ordinary(
    3.5,
    CeleryEventsInvalid=at_once('increase(celery_exporter_events_total{type="other"}[10m]) > 0'),
    CeleryEventBacklogGrowing=at_once("celery_exporter_event_backlog_bytes > 1e6"),
    CeleryExporterSeriesLimitHit="sum by (namespace) (celery_exporter_series) > 300",
    CeleryExporterCommandDenied="celery_exporter_command_denied == 1",
)
def busy_application(life: Life) -> None:
    """Thirty tasks, custom events, bursts for which the exporter needs a minute, and permissions granted in steps."""
    made = shop(life)
    for number in range(30):
        made.task(Task(f"shop.task_{number}", per_hour=6))
    made.agenda.every(60, lambda: made.announce("shop-order-placed"))
    for hour in (1, 2, 3):
        made.at(hour, lambda: made.set(made.exporter, backlog=6e6))
        made.at(hour + 55 / 3600, lambda: made.set(made.exporter, backlog=0.0))
    made.set(made.exporter, denied=("LATENCY", "CONFIG"))
    made.at(0.2, lambda: made.set(made.exporter, denied=()))


@ordinary(3.5, CeleryWorkerDown="celery_worker_up == 0")
def spot_instances_are_taken_away(life: Life) -> None:
    """Machines disappear while their workers run tasks, and other workers replace them within a minute."""
    made = shop(life, may_take("shop.video", "5m"))
    made.task(Task("shop.video", per_hour=60, runtime=120))
    for hour in (1, 2, 3):
        made.at(hour, made.kill, f"celery@web-{hour - 1}")
        made.at(hour + 1 / 60, lambda hour=hour: made.start(Worker(f"celery@spot-{hour}")))


@ordinary(3, CeleryNoWorkersOnline=at_once("absent(up{namespace='prometheus_is_restarted'})"))
def prometheus_is_restarted(life: Life) -> None:
    """Prometheus is down for four minutes, then for eight."""
    made = shop(life)
    for hour, minutes in ((1, 4), (2, 8)):
        made.at(hour, lambda: made.set(made, is_scraped=False))
        made.at(hour + minutes / 60, lambda: made.set(made, is_scraped=True))


@ordinary(
    3.5,
    CeleryQueueDrainTimeHigh="celery_queue_length / on (namespace, instance) sum by (namespace, instance)"
    " (rate(celery_tasks_started_total[10m])) * 0 + sum by (namespace, instance) (up) > 0",
)
def pair_of_exporters(life: Life) -> None:
    """Two exporters watch one application, and one of them is restarted."""
    made = shop(life)
    made.add_exporter("exporter-2:9808")
    made.at(2, made.restart_exporter)


@ordinary(
    4,
    CeleryQueueLong=at_once("sum by (namespace, queue) (celery_queue_length) > 50"),
    CeleryTaskWaitHigh="sum by (namespace) (rate(celery_task_wait_seconds_count[10m])) > 0.2",
    CeleryExporterAbsent=at_once("count by (namespace) (celery_exporter_build_info) < 2"),
)
def two_prometheus_servers(life: Life) -> None:
    """Two Prometheus servers write to one store under the label replica, and one is down for ten minutes, twice."""
    made = shop(life, may_take("shop.report", "15m"))
    made.scrape_with("a", "b")
    made.start(Worker("celery@reports", ("reports",), 6))
    made.task(Task("shop.report", "reports", per_hour=20, runtime=200))
    made.at(2, made.publish, Task("shop.label", "labels", runtime=1), 40)
    made.at(2 + 4 / 60, lambda: made.start(Worker("celery@labels", ("labels",), 1)))
    for hour in (1, 3):
        made.at(hour, lambda: made.set(made, away=frozenset({"b"})))
        made.at(hour + 1 / 6, lambda: made.set(made, away=frozenset()))


@ordinary(
    3,
    CeleryWorkersSaturated="sum(celery_worker_tasks_active{namespace='several_applications'})"
    " / sum(celery_worker_concurrency{namespace='several_applications'}) < 0.2 and on () count(up) > 0",
    CeleryNoWorkersOnline="celery_workers{state='online'} == 0",
)
def several_applications(life: Life) -> None:
    """Two applications in each of two clusters have the same task names, and one of them is scaled to zero."""
    for cluster in ("a", "b"):
        shop(life, cluster=cluster, application="shop")
    shop(life, cluster="a", application="blog")
    quiet = life.installation(cluster="b", application="blog")
    quiet.start(Worker("celery@web-0"))
    quiet.at(0.5, quiet.scale, 0)


@trouble(4, CeleryExporterDown=(2, 7))
def exporter_dies(life: Life) -> None:
    """The exporter dies and stays down."""
    made = shop(life)
    made.at(2, made.exporter.stop)


@trouble(96, CeleryExporterDown=(10, 30))
def exporter_is_down_for_days(life: Life) -> None:
    """The exporter dies on Friday evening; it is still reported on Monday."""
    made = life.installation()
    made.start(Worker("celery@web-1"))
    made.task(Task("shop.mail", per_hour=20))
    made.at(10, made.exporter.stop)


@trouble(4, CeleryExporterAbsent=(2, 22))
def exporter_is_deleted(life: Life) -> None:
    """One application's exporter is deleted, while that of another one lives."""
    made = shop(life, cluster="a")
    shop(life, cluster="b")
    made.at(2, made.exporter.stop)
    made.at(2, lambda: made.set(made.exporter, is_target=False))


@trouble(3, CeleryEventStreamDown=(1, 7))
def permission_to_subscribe_is_lost(life: Life) -> None:
    """Redis answers, and the subscription to the events is refused."""
    made = shop(life)
    made.at(1, lambda: made.exporter.cut(off=True))


@trouble(3, CeleryEventsSilent=(1, 9))
def events_go_elsewhere(life: Life) -> None:
    """Workers that may be silent for two hours publish their events in another database since a change."""
    made = shop(life, "--workers.lost-after=2h")
    made.at(1, lambda: made.set(made, loses_events=1.0))


@trouble(3, CeleryEventsLost=(1, 5))
def some_events_are_lost(life: Life) -> None:
    """One in ten events gets lost on the way."""
    made = shop(life)
    made.at(1, lambda: made.set(made, loses_events=0.1))


@trouble(3, CeleryEventsLost=(1, 5), CeleryEventsUnmatched=(1, 45))
def most_events_are_lost(life: Life) -> None:
    """Half of the events of a busy application get lost, so that ends arrive of tasks that never began."""
    made = shop(life)
    made.task(Task("shop.click", per_hour=3000, runtime=0.2))
    made.at(1, lambda: made.set(made, loses_events=0.5))


@trouble(2.5, CeleryEventBacklogGrowing=(1, 20))
def exporter_is_too_slow(life: Life) -> None:
    """Events arrive faster than the exporter reads them: 5 kB more wait each second."""
    made = shop(life)
    made.agenda.every(10, lambda: made.set(made.exporter, backlog=max(made.agenda.now - 3600, 0) * 5000))


@trouble(2.5, CeleryEventsInvalid=(1, 3))
def worker_sends_garbage(life: Life) -> None:
    """Another program publishes on the channel of the events every few minutes."""
    made = shop(life)
    for number in range(20):
        made.at(1 + number / 20, made.exporter.garble, "envelope")


@trouble(3, CeleryTasksForgotten=(1, 5), CeleryQueueLong=(1, 15), CeleryQueueOldestMessageOld=(1, 30),
         CeleryWorkersSaturated=(1, 40))  # fmt: skip
def more_tasks_wait_than_are_remembered(life: Life) -> None:
    """Nine thousand messages wait, and the exporter remembers five hundred tasks."""
    made = shop(life, "--tracking.max-tasks=500")
    made.at(1, lambda: made.publish(MAIL, 9_000))


@trouble(2.5, CeleryExporterCollectorFailing=(1, 12))
def discovery_fails(life: Life) -> None:
    """The search for queues fails since a change of the permissions."""
    made = shop(life)
    made.at(1, lambda: made.set(made.exporter, broken_collectors=("queue_discovery",)))


@trouble(2.5, CeleryExporterSeriesLimitHit=(1, 15))
def task_names_have_ids_in_them(life: Life) -> None:
    """A release names tasks by the order that they handle."""
    made = shop(life, "--series.max-per-metric=60")
    for number in range(40):
        made.at(1 + number / 80, lambda number=number: made.publish(Task(f"shop.order_{number}"), 1))


@trouble(2.5, CeleryExporterCommandDenied=(1, 17))
def command_is_denied(life: Life) -> None:
    """A new rule on the server denies a command."""
    made = shop(life)
    made.at(1, lambda: made.set(made.exporter, denied=("CONFIG",)))


@trouble(2.5, CeleryExporterBug=(1, 2))
def exporter_meets_a_bug(life: Life) -> None:
    """The exporter meets an error that should not be possible, three times."""
    made = shop(life)
    for minute in (0, 5, 30):
        made.at(1 + minute / 60, made.exporter.meet_a_bug, "event_stream")
