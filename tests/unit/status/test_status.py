# SPDX-License-Identifier: Apache-2.0
"""The report, built from all counters and samples."""

import json
from typing import Any

import jsonschema
import msgspec
import pytest
from msgspec.structs import replace

from celery_redis_exporter.alerts import GROUPS
from celery_redis_exporter.alerts.thresholds import threshold
from celery_redis_exporter.catalog import Metric, internals, key_space, queues
from celery_redis_exporter.catalog import redis_server as redis_rows
from celery_redis_exporter.catalog import tasks as rows
from celery_redis_exporter.catalog import workers as worker_rows
from celery_redis_exporter.records.report import Check, Failure, Health, LastHour, Report
from celery_redis_exporter.records.samples import Sample
from celery_redis_exporter.records.static_labels import StaticLabels
from celery_redis_exporter.state.series import NewSeries, Store
from celery_redis_exporter.status import MARKED, Snapshot, Status
from celery_redis_exporter.status.schema import build_schema
from celery_redis_exporter.status.servers import Servers
from tests.support.fakes import FakeClock

STATES = ("success", "failure", "retry", "revoked", "rejected")
UP = [Sample(redis_rows.UP, ("broker",), 1)]
REPORTS = jsonschema.Draft202012Validator(build_schema())


class Scene:
    """A store to fill, and the status built from it."""

    def __init__(self, **new: Any) -> None:  # noqa: ANN401 -- NewSeries checks their types
        self.clock = FakeClock()
        self.store = Store([*rows.METRICS, *worker_rows.METRICS, *queues.METRICS, *internals.METRICS], 1000, {},
                           NewSeries(self.clock, zero_first=30, **new))  # fmt: skip
        self.status = Status("1.2.3", self.clock, Servers(self.clock, 0).describe)
        self.workers: dict[str, int | None] = {}
        self.samples: list[Sample] = list(UP)
        self.failures: list[Failure] | None = None
        self.stream = Check("Event stream", "ok", "connected")

    def add(self, metric: Metric, *labels: str, value: float = 1) -> None:
        """Add to a series."""
        self.store.scalar(metric, *labels).value += value

    def worker(self, name: str, up: int | None = 1) -> None:
        """Add a worker, or remove it (None)."""
        if up is None:
            self.store.discard(worker_rows.WORKER_UP, (name,))
        else:
            self.store.scalar(worker_rows.WORKER_UP, name).value = up
        self.workers[name] = up
        for state, value in (("online", 1), ("lost", 0)):
            self.store.scalar(worker_rows.WORKERS, state).value = list(self.workers.values()).count(value)

    def ended(self, task: str, queue: str = "q", **outcomes: int) -> None:
        """Add executions by outcome, each of 0.3 s."""
        for state in STATES:
            self.add(rows.TASKS, task, queue, state, value=outcomes.get(state, 0))
        self.add(rows.TASKS_STARTED, task, queue, value=sum(outcomes.values()))
        for state, count in outcomes.items():
            for _ in range(count):
                self.store.histogram(rows.TASK_RUNTIME, task, queue, state).observe(0.3)

    def mark(self, seconds: float = 60) -> None:
        """Advance the clock, then take a mark."""
        self.clock.advance(seconds)
        self.status.mark(self.store.collect(whole=True, only=MARKED))

    def report(self) -> Report:
        """Return the report, and check it against its schema."""
        found = Snapshot(self.store.collect(whole=True), {"broker": self.samples}, [], [self.stream], self.failures)
        report = self.status.report(found)
        REPORTS.validate(json.loads(msgspec.json.encode(report)))
        return report

    def health(self, subject: str) -> Health:
        """Return one verdict."""
        return next(health for health in self.report().health if health.subject == subject)


@pytest.fixture
def scene() -> Scene:
    """Return an empty scene."""
    return Scene()


def test_a_task(scene: Scene) -> None:
    """Counts are whole, also of new series; rates are of the last minute, ratios of the window."""
    scene.ended("t", success=3, failure=1)
    scene.ended("t", queue="r", retry=4)
    scene.add(rows.TASKS_SENT, "t", "q", value=9)
    scene.add(rows.TASKS_RUNNING, "t", "q", value=2)
    scene.clock.advance(10)
    (task,) = scene.report().tasks
    assert (9, 8, 3, 1, 4, 2) == (task.sent, task.started, task.success, task.failure, task.retry, task.running)
    assert (["q", "r"], 0.8) == (task.queues, task.rate)
    assert task.recent is not None
    assert (8, 0.25, 0.5) == (task.recent.ended, task.recent.failure_ratio, task.recent.retry_ratio)
    assert (0.375, 0.4875) == pytest.approx((task.recent.p50_seconds, task.recent.p95_seconds))
    scene.mark(50)
    scene.clock.advance(60)
    (task,) = scene.report().tasks
    assert (3, 0.0) == (task.success, task.rate)
    assert task.recent is not None
    assert 8 == task.recent.ended


def test_labels_of_the_settings_change_nothing() -> None:
    """Series that differ in static labels or in their worker label are added up."""
    scene = Scene(labels=StaticLabels({"env": "prod"}), by_worker=rows.BY_WORKER)
    for worker in ("a", "b"):
        for state in STATES:
            scene.add(rows.TASKS, "t", "q", state, worker, value=2)
        scene.store.histogram(rows.TASK_RUNTIME, "t", "q", "success", worker).observe(0.3)
    scene.worker("w")
    scene.clock.advance(10)
    report = scene.report()
    assert [("t", 4, 4)] == [(task.name, task.success, task.failure) for task in report.tasks]
    assert [(20, 0.375)] == [(task.recent.ended, task.recent.p50_seconds) for task in report.tasks if task.recent]
    assert ["w"] == [worker.name for worker in report.workers]


def test_buckets_of_their_own_cost_no_page(scene: Scene) -> None:
    """Series over a limit share a name and may differ in their buckets; those of the first series are used."""
    scene.store.histogram(rows.TASK_RUNTIME, "t", "q", "success").observe(0.3)
    scene.store.histogram(rows.TASK_RUNTIME, "t", "q", "failure", bounds=(1.0,)).observe(0.3)
    scene.ended("t", success=1)
    scene.clock.advance(10)
    (task,) = scene.report().tasks
    assert task.recent is not None
    assert 0.375 == task.recent.p50_seconds


def test_the_window_moves_on(scene: Scene) -> None:
    """Executions that are older than the window no longer count."""
    scene.ended("t", failure=5)
    for _ in range(11):
        scene.mark()
    (task,) = scene.report().tasks
    assert task.recent is not None
    assert (0, None, None) == (task.recent.ended, task.recent.failure_ratio, task.recent.p95_seconds)
    assert 600 == scene.report().window_seconds


def test_a_queue(scene: Scene) -> None:
    """A queue has its length by priority, its consumers, and its incoming and outgoing rates."""
    scene.samples += [Sample(queues.QUEUE_LENGTH, ("q",), 12), Sample(queues.QUEUE_OLDEST_AGE, ("q",), 3.5)]
    scene.samples += [
        Sample(queues.QUEUE_PRIORITY_LENGTH, ("q", step), count) for step, count in (("10", 2), ("9", 10))
    ]
    scene.add(queues.QUEUE_CONSUMERS, "q", value=2)
    scene.add(rows.TASKS_SENT, "t", "q", value=30)
    scene.ended("t", success=10)
    scene.ended("u", queue="unknown", success=1)
    scene.clock.advance(10)
    (queue,) = scene.report().queues
    assert (12, [("9", 10), ("10", 2)], 3.5, 2) == (
        queue.length, list(queue.priorities.items()), queue.oldest_age_seconds, queue.consumers,
    )  # fmt: skip
    assert (3.0, 1.0, "ok") == (queue.incoming, queue.outgoing, queue.verdict)


def test_a_worker(scene: Scene) -> None:
    """A worker has the values of heartbeats and inspect replies; values that are not reported are unknown."""
    scene.worker("b")
    scene.worker("a", up=0)
    for metric, labels, value in (
        (worker_rows.WORKER_ACTIVE, ("b",), 2), (worker_rows.WORKER_CONCURRENCY, ("b",), 4),
        (worker_rows.WORKER_LOAD, ("b", "1m"), 0.5), (worker_rows.WORKER_LOAD, ("b", "5m"), 0.25),
        (worker_rows.WORKER_LOAD, ("b", "15m"), 0.125), (worker_rows.WORKER_POOL_INFO, ("b", "prefork"), 1),
        (worker_rows.WORKER_QUEUE_INFO, ("b", "z"), 1), (worker_rows.WORKER_QUEUE_INFO, ("b", "y"), 1),
        (worker_rows.WORKER_INFO, ("b", "5.7.0", "py-celery", "Linux"), 1),
    ):  # fmt: skip
        scene.add(metric, *labels, value=value)
    lost, worker = scene.report().workers
    assert ("a", "lost", None, None, [], None) == (
        lost.name, lost.state, lost.active, lost.load, lost.queues, lost.sends_events,
    )  # fmt: skip
    assert (2, 4, (0.5, 0.25, 0.125), "prefork", ["y", "z"], "5.7.0") == (
        worker.active, worker.concurrency, worker.load, worker.pool, worker.queues, worker.version,
    )  # fmt: skip


def test_key_groups_and_failures(scene: Scene) -> None:
    """The largest key groups of a server come first; failures are None unless the exporter keeps them."""
    assert scene.report().failures is None
    scene.failures = [Failure(1.0, "t", "ValueError", "w", "id")]
    for name, keys, size in (("small", 9, 5.0), ("big", 1, 500.0)):
        labels = ("broker", "db0", name)
        scene.samples += [Sample(key_space.GROUP_COUNT, labels, keys), Sample(key_space.GROUP_MEMORY, labels, size)]
    report = scene.report()
    assert [("big", 1, 500.0), ("small", 9, 5.0)] == [
        (group.name, group.keys, group.memory_bytes) for group in report.redis[0].key_groups
    ]
    assert scene.failures == report.failures


def test_all_is_well(scene: Scene) -> None:
    """With a worker online, events received and nothing waiting, every verdict is ok."""
    scene.worker("a")
    scene.ended("t", success=1)
    scene.add(internals.LAST_EVENT, value=scene.clock.now())
    scene.samples.append(Sample(queues.QUEUE_LENGTH, ("q",), 0))
    assert ["ok"] * 5 == [health.state for health in scene.report().health]


def test_nothing_is_ok_without_knowledge(scene: Scene) -> None:
    """A subject without data is unknown, with the reason, not ok; so is one whose data is no longer received."""
    assert [
        ("unknown", "no event was received yet"),
        ("ok", ""),
        ("unknown", "no heartbeat was received yet"),
        ("unknown", "no queue is known yet"),
        ("unknown", "no event of a task was received yet"),
    ] == [_told(health) for health in scene.report().health]
    scene.worker("a")
    scene.ended("t", success=1)
    scene.add(internals.LAST_EVENT, value=scene.clock.now())
    scene.add(queues.QUEUE_CONSUMERS, "q")
    scene.stream = Check("Event stream", "failed", "refused")
    scene.samples = [Sample(redis_rows.UP, ("broker",), 0)]
    assert [
        ("critical", "no events are received: refused"),
        ("critical", "no answer: broker (unknown)"),
        ("unknown", "no events are received"),
        ("unknown", "their lengths can't be read"),
        ("unknown", "no events are received"),
    ] == [_told(health) for health in scene.report().health]


def test_the_stream(scene: Scene) -> None:
    """A failed or silent event stream is critical; missed executions are a warning for as long as the window."""
    scene.stream = Check("Event stream", "starting", "starting")
    assert ("unknown", "no events are received: starting") == _told(scene.health("Event stream"))
    scene.stream = Check("Event stream", "ok", "connected")
    scene.worker("a")
    scene.add(internals.LAST_EVENT, value=scene.clock.now() - 301)
    assert scene.health("Event stream").state == "ok"  # an idle worker without heartbeats sends nothing
    scene.add(worker_rows.WORKER_LAST_HEARTBEAT, "a", value=scene.clock.now() - 301)
    assert ("critical", "no event for 301 s although workers send heartbeats") == _told(scene.health("Event stream"))
    scene.store.scalar(internals.LAST_EVENT).value = scene.clock.now()
    scene.add(worker_rows.WORKER_EVENTS_MISSED, "a", value=3)
    scene.clock.advance(1)
    assert ("warning", "3 executions were not seen in the last minutes") == _told(scene.health("Event stream"))
    for _ in range(11):
        scene.mark()
        scene.store.scalar(internals.LAST_EVENT).value = scene.clock.now()
    assert scene.health("Event stream").state == "ok"
    scene.stream = Check("Event stream", "failed", "refused")
    assert ("critical", "no events are received: refused") == _told(scene.health("Event stream"))


def test_a_worker_that_leaves_is_no_loss(scene: Scene) -> None:
    """A worker's count of missed executions is dropped with it, and the counts of others don't look new then."""
    scene.worker("a")
    for name in ("a", "b"):
        scene.add(worker_rows.WORKER_EVENTS_MISSED, name, value=3)
    for _ in range(11):
        scene.mark()
    scene.store.discard(worker_rows.WORKER_EVENTS_MISSED, ("b",))
    scene.add(internals.LAST_EVENT, value=scene.clock.now())
    assert scene.health("Event stream").state == "ok"


def test_servers(scene: Scene) -> None:
    """A server that does not answer is critical, a sentinel a warning; memory is judged by the alerts' thresholds."""
    away = [Sample(redis_rows.UP, ("broker",), 0), Sample(redis_rows.LAST_SCRAPE_ERROR, ("broker", "refused"), 1)]
    scene.samples = away
    assert ("critical", "no answer: broker (refused)") == _told(scene.health("Redis"))
    found = {"broker": UP, "broker/sentinel/1": [Sample(redis_rows.UP, ("broker/sentinel/1",), 0)]}
    report = scene.status.report(Snapshot([], found, [], [], None))
    assert ("warning", "no answer of sentinels: broker/sentinel/1 (unknown)") == _told(report.health[1])
    for used, state in ((74, "ok"), (76, "warning"), (91, "critical")):
        scene.samples = [*UP, *_memory(used, 100)]
        assert state == scene.health("Redis").state
    assert "memory: broker 91% used" == scene.health("Redis").reason


@pytest.mark.parametrize(
    ("server", "policy", "state"),
    [
        ("cache", "allkeys-lru", "ok"),
        ("cache", "noeviction", "critical"),
        ("broker", "allkeys-lru", "critical"),
        ("results/10.0.0.1:6379", "volatile-ttl", "critical"),
    ],
)
def test_a_cache_is_meant_to_be_full(scene: Scene, server: str, policy: str, state: str) -> None:
    """A full server is reported unless it may evict and is not Celery's, as in the alerts."""
    labels = [policy if name == "maxmemory_policy" else "" for name in redis_rows.INSTANCE_INFO.label_names]
    samples = [Sample(redis_rows.UP, (server,), 1), Sample(redis_rows.INSTANCE_INFO, (server, *labels[1:]), 1)]
    samples += [replace(sample, labels=(server,)) for sample in _memory(100, 100)]
    report = scene.status.report(Snapshot([], {server: samples}, [], [], None))
    assert state == report.redis[0].memory.state


def test_workers(scene: Scene) -> None:
    """No worker online is critical if messages wait, but not in the first minute; up to three lost ones are named."""
    scene.samples.append(Sample(queues.QUEUE_LENGTH, ("q",), 1))
    assert ("unknown", "no heartbeat was received yet") == _told(scene.health("Workers"))
    scene.clock.advance(61)
    assert ("critical", "none is online") == _told(scene.health("Workers"))
    scene.samples.append(Sample(queues.QUEUE_LENGTH, ("q",), -1))  # no messages at all: the workers were scaled to zero
    assert ("unknown", "none is online, and no message waits") == _told(scene.health("Workers"))
    for name in "abcde":
        scene.worker(name, up=0)
    assert ("critical", "none is online; stopped sending heartbeats: a, b, c and 2 more") == _told(
        scene.health("Workers")
    )
    scene.worker("f")
    scene.store.scalar(worker_rows.WORKER_TASK_EVENTS, "f").value = 0
    health = scene.health("Workers")
    assert ("warning", True) == (health.state, health.reason.endswith("send no task events (-E): f"))


def test_lost_workers_that_were_replaced(scene: Scene) -> None:
    """Lost workers cause a warning until as many are online as before, as in the alert, or until the hour is over."""
    lost = ("warning", "stopped sending heartbeats: a")
    for name in "abc":
        scene.worker(name)
    scene.mark()
    scene.worker("a", up=0)
    assert lost == _told(scene.health("Workers"))
    scene.mark()
    assert lost == _told(scene.health("Workers"))
    assert scene.report().lacks_workers
    scene.worker("d")  # replaces a
    assert "ok" == scene.health("Workers").state
    assert not scene.report().lacks_workers
    scene.mark()
    scene.worker("d", up=None)  # stopped by an autoscaler
    assert "ok" == scene.health("Workers").state
    scene.worker("c", up=0)
    assert ("warning", "stopped sending heartbeats: a, c") == _told(scene.health("Workers"))
    for _ in range(59):
        scene.mark()
    assert "warning" == scene.health("Workers").state
    for _ in range(3):
        scene.mark()
    assert "ok" == scene.health("Workers").state


def test_workers_that_were_lost_before_the_start(scene: Scene) -> None:
    """A lost worker of the state file causes a warning: the report does not know whether it was replaced."""
    scene.worker("a", up=0)
    scene.worker("b")
    assert ("warning", "stopped sending heartbeats: a") == _told(scene.health("Workers"))
    scene.mark()
    assert ("warning", "stopped sending heartbeats: a") == _told(scene.health("Workers"))
    scene.worker("c")
    assert "ok" == scene.health("Workers").state


def test_queues(scene: Scene) -> None:
    """Messages without a consumer are critical, many or old ones a warning."""
    scene.worker("a")
    scene.samples.append(Sample(queues.QUEUE_LENGTH, ("q",), 51))
    assert ("warning", "long: q 51") == _told(scene.health("Queues"))
    scene.samples.append(Sample(queues.QUEUE_OLDEST_AGE, ("q",), 901))
    assert ("warning", "long: q 51; old messages: q") == _told(scene.health("Queues"))
    scene.store.scalar(queues.QUEUE_CONSUMERS, "q")
    assert "critical" == scene.health("Queues").state
    scene.worker("a", up=0)  # then the workers are the problem, and their verdict states it
    assert "warning" == scene.health("Queues").state
    scene.samples = [*UP, Sample(queues.UNACKED, (), 3), Sample(queues.UNACKED_OVERDUE, (), 1)]
    assert scene.health("Queues").reason.startswith("1 unacknowledged messages are past the visibility timeout")


def test_queues_with_thresholds(scene: Scene) -> None:
    """A queue is judged by the thresholds of the settings, if they contain some for it."""
    scene.worker("a")
    for metric, value in (
        (queues.QUEUE_LENGTH, 90_000), (queues.QUEUE_OLDEST_AGE, 9000),
        (queues.QUEUE_LENGTH_THRESHOLD, 100_000), (queues.QUEUE_WAIT_THRESHOLD, 10_800),
    ):  # fmt: skip
        scene.samples.append(Sample(metric, ("nightly",), value))
    assert "ok" == scene.health("Queues").state
    scene.samples.append(Sample(queues.QUEUE_LENGTH, ("nightly",), 20_000))
    assert ("warning", "long: nightly 110,000") == _told(scene.health("Queues"))


def test_tasks(scene: Scene) -> None:
    """A task that fails more than the alerts allow is named, if it ran often enough."""
    scene.ended("bad", success=80, failure=20)
    scene.ended("poor", success=93, failure=7)
    scene.ended("good", success=96, failure=4)
    scene.ended("rare", failure=14)
    scene.clock.advance(10)
    assert ("critical", "many fail: bad 20%; some fail: poor 7%") == _told(scene.health("Tasks"))


def test_a_task_that_fails_every_time(scene: Scene) -> None:
    """Fourteen failures of fourteen executions are critical, even though they are few; after a success they are not."""
    scene.ended("rare", failure=14)
    scene.add(rows.TASK_CONSECUTIVE_FAILURES, "rare", value=2)
    scene.clock.advance(10)
    assert "ok" == scene.health("Tasks").state
    scene.add(rows.TASK_CONSECUTIVE_FAILURES, "rare", value=13)
    assert ("critical", "fail every time: rare 15 times") == _told(scene.health("Tasks"))
    assert "critical" == scene.report().tasks[0].verdict
    scene.store.scalar(rows.TASK_CONSECUTIVE_FAILURES, "rare").value = 0
    assert "ok" == scene.health("Tasks").state


def test_thresholds_are_the_alerts() -> None:
    """Every threshold in use is that of an alert; an unknown one raises an error."""
    alerts = {alert.name: alert for group in GROUPS for alert in group.alerts}
    assert alerts["RedisMemoryHigh"].parameters["ratio"] == threshold("RedisMemoryHigh", "ratio")
    with pytest.raises(KeyError):
        threshold("RedisMemoryHigh", "messages")


def _told(health: Health) -> tuple[str, str]:
    return health.state, health.reason


def _memory(used: float, limit: float) -> list[Sample]:
    by_name = {metric.name: metric for metric in redis_rows.METRICS}
    values = {"redis_memory_used_bytes": used, "redis_memory_max_bytes": limit}
    return [Sample(by_name[name], ("broker",), value) for name, value in values.items()]


def test_the_most_frequent_exceptions_of_a_task(scene: Scene) -> None:
    """A task has at most five exception classes, the most frequent first, and none without exceptions."""
    for number in range(7):
        scene.store.scalar(rows.TASK_EXCEPTIONS, "t", f"E{number}").value = number
    scene.store.scalar(rows.TASKS_SENT, "t", "q").value = 1
    scene.store.scalar(rows.TASKS_SENT, "fine", "q").value = 1
    found = {task.name: task.exceptions for task in scene.report().tasks}
    assert {"t": {"E6": 6.0, "E5": 5.0, "E4": 4.0, "E3": 3.0, "E2": 2.0}, "fine": {}} == found


def test_queues_of_a_task_are_those_that_it_was_in(scene: Scene) -> None:
    """A counter of 0, which workers of other queues have for registered tasks, counts only without any other."""
    for task, queue, count in (("t", "mail", 1), ("t", "other", 0), ("idle", "other", 0)):
        scene.store.scalar(rows.TASKS_SENT, task, queue).value = count
    assert {"t": ["mail"], "idle": ["other"]} == {task.name: task.queues for task in scene.report().tasks}


def test_the_last_hour(scene: Scene) -> None:
    """Totals and trends cover the last hour, whatever the exporter counted before."""
    assert scene.report().last_hour is None
    scene.ended("old", success=1000)
    for _ in range(61):
        scene.mark()
    assert scene.report().last_hour is None
    scene.add(rows.TASKS_SENT, "t", "q", value=50)
    scene.ended("t", success=9, failure=1, retry=30, revoked=5, rejected=5)
    scene.mark()
    scene.ended("t", success=10)
    scene.clock.advance(30)
    report = scene.report()
    assert report.last_hour == LastHour(
        seconds=3630, published=50, started=60, success=19, failure=1, retry=30, revoked=5, rejected=5,
        success_ratio=0.95,
    )  # fmt: skip
    trends = {task.name: task.trend for task in report.tasks}
    assert {"old": [], "t": [0.8333]} == trends


def test_the_length_of_a_queue_over_the_last_hour(scene: Scene) -> None:
    """The trend of a queue has a length for each minute in which it was read, and is dropped with the queue."""
    for length in range(100):
        scene.status.note({"broker": [Sample(queues.QUEUE_LENGTH, ("q",), length)]})
        scene.mark()
    scene.samples = [*UP, Sample(queues.QUEUE_LENGTH, ("q",), 99), Sample(queues.QUEUE_LENGTH, ("new",), 0)]
    assert [[], [float(length) for length in range(40, 100)]] == [queue.trend for queue in scene.report().queues]
    for _ in range(3):
        scene.mark()
    assert [98, 99, 99, None, None] == scene.report().queues[1].trend[-5:]
    for _ in range(60):
        scene.mark()
    assert [[], []] == [queue.trend for queue in scene.report().queues]


def test_restored_counters_are_of_before_the_start(scene: Scene) -> None:
    """Counters that were restored at a restart add nothing to rates and to recent ratios."""
    scene.add(rows.TASKS_SENT, "t", "q", value=1000)
    scene.ended("t", failure=1000)
    scene.status.restore(scene.store.collect(whole=True, only=MARKED))
    scene.clock.advance(10)
    scene.ended("t", success=5)
    report = scene.report()
    (task,) = report.tasks
    (queue,) = report.queues
    assert (0.5, 0.0, "ok", 0.5) == (task.rate, task.recent and task.recent.failure_ratio, task.verdict, queue.outgoing)
    assert report.last_hour is not None
    assert (10, 0, 5, 1.0) == (
        report.last_hour.seconds, report.last_hour.published, report.last_hour.success, report.last_hour.success_ratio,
    )  # fmt: skip
