# SPDX-License-Identifier: Apache-2.0
"""Ordinary operation and real trouble, as series of an installation: which alerts fire, checked with both promtools.

Where it is short, a rule that does not consider the scenario is evaluated beside the bundled one, and fails.
"""

from pathlib import Path

import pytest
import yaml

from celery_redis_exporter.alerts import GROUPS, celery_tasks
from celery_redis_exporter.alerts.files import RenderOptions, render_rules
from tests.integration.promtools import BY_BOTH, Check, judge

pytestmark = [pytest.mark.servers, BY_BOTH]

RULES = render_rules(GROUPS, RenderOptions())
WHERE = 'job="celery", namespace="shop", instance="exporter:9808"'
SHOP = {"job": "celery", "namespace": "shop"}


def naive(name: str, expr: str, wait: str = "5m") -> str:
    """Return a rules file with one rule as a person would write it by hand."""
    rule = {"alert": name, "expr": expr, "for": wait, "labels": {"severity": "critical"}}
    return yaml.safe_dump({"groups": [{"name": "naive", "rules": [rule]}]})


def silent(name: str, *times: str) -> list[Check]:
    """Return the checks that an alert does not fire at these times."""
    return [(name, at, []) for at in times]


def test_four_starts_in_half_an_hour_are_not_more_than_four(tmp_path: Path) -> None:
    """Four starts in 30 minutes do not fire the flapping alert, although increase() returns 4.05, and a fifth does."""
    series = {f'celery_worker_starts_total{{{WHERE}, worker="w"}}': "1x20 2x30 3x30 4x30 5x120"}
    judge(tmp_path, RULES, series, silent("CeleryWorkerFlapping", *(f"{minute}m" for minute in range(5, 50))), "13s")
    rule = naive("Naive", "max by (worker) (increase(celery_worker_starts_total[30m])) > 4", "0s")
    judge(tmp_path, rule, series, [("Naive", "27m", [{"severity": "critical", "worker": "w"}])], "13s")
    more = {f'celery_worker_starts_total{{{WHERE}, worker="w"}}': "1x20 2x30 3x30 4x20 5x10 6x120"}
    firing = [SHOP | {"severity": "warning", "worker": "w"}]
    judge(tmp_path, RULES, more, [("CeleryWorkerFlapping", "27m", firing)], "13s")


def test_a_cluster_without_workers_is_seen_beside_one_that_has_some(tmp_path: Path) -> None:
    """Two clusters under one job and namespace are judged apart, while grouping without the cluster hides one."""
    series = {
        f"{name}{{{WHERE}, cluster={cluster}{more}}}": value
        for cluster, online in (('"a"', "2x30"), ('"b"', "0x30"))
        for name, more, value in (
            ("celery_workers", ', state="online"', online),
            ("celery_exporter_event_stream_up", "", "1x30"),
            ("celery_queue_length", ', queue="mail"', "5x30"),
        )
    }
    firing = [SHOP | {"severity": "critical", "cluster": "b"}]
    judge(tmp_path, RULES, series, [("CeleryNoWorkersOnline", "20m", firing)])
    rule = naive("Naive", 'max by (job, namespace) (celery_workers{state="online"}) == 0')
    judge(tmp_path, rule, series, silent("Naive", "20m"))
    other = render_rules(GROUPS, RenderOptions(group_by=("job",)))
    judge(tmp_path, other, series, silent("CeleryNoWorkersOnline", "20m"))


def test_a_pair_of_exporters_counts_once(tmp_path: Path) -> None:
    """Two exporters of one application do not double a count: 15 retries in ten minutes do not count as 20."""
    tasks = 'job="celery", namespace="shop", task="shop.pay", queue="payments"'
    series = {
        f'{name}{{{tasks}, instance="{instance}:9808"{more}}}': value
        for instance in "ab"
        for name, more, value in (
            ("celery_tasks_total", ', state="retry"', "0+1.5x60"),
            ("celery_tasks_started_total", "", "0+1.5x60"),
            ("celery_queue_length", "", "200x60"),
        )
    }
    judge(tmp_path, RULES, series, silent("CeleryTaskRetryStorm", "50m"))
    rule = naive("Naive", 'sum by (task) (increase(celery_tasks_total{state="retry"}[10m])) >= 20')
    judge(tmp_path, rule, series, [("Naive", "50m", [{"severity": "critical", "task": "shop.pay"}])])
    firing = [SHOP | {"severity": "warning", "queue": "payments"}]
    judge(tmp_path, RULES, series, [("CeleryQueueDrainTimeHigh", "50m", firing)])


def counts(values: list[int]) -> str:
    """Return the values of a counter, one each minute, in promtool's notation."""
    return " ".join(map(str, values))


def outcomes(task: str, success: list[int], failure: list[int]) -> dict[str, str]:
    """Return the outcomes of a task, one value each minute."""
    series = f'celery_tasks_total{{{WHERE}, task="{task}", queue="payments", state='
    return {f'{series}"success"}}': counts(success), f'{series}"failure"}}': counts(failure)}


def failing_since(minute: int, per_hour: float, share: float, last: int) -> dict[str, str]:
    """Return the outcomes of a task that runs at a constant rate and of which a share fails from a minute on."""
    ended = [int(now * per_hour / 60) for now in range(last + 1)]
    failure = [int(share * max(count - ended[minute], 0)) for count in ended]
    success = [count - failed for count, failed in zip(ended, failure, strict=True)]
    return outcomes("shop.pay", success, failure)


def test_85_executions_an_hour_with_12_percent_failures_page_within_the_hour(tmp_path: Path) -> None:
    """A task that fails in 12 % of 85 executions an hour is critical within the hour, and with 3 % it is not."""
    firing = [SHOP | {"severity": "critical", "task": "shop.pay", "queue": "payments"}]
    name = "CeleryTaskFailureRateCritical"
    series = failing_since(120, 85, 0.13, 240)
    judge(tmp_path, RULES, series, [*silent(name, "60m", "120m", "130m"), (name, "179m", firing)])
    ended = "sum by (task) (rate(celery_tasks_total[10m]))"
    before = f'sum by (task) (rate(celery_tasks_total{{state="failure"}}[10m])) / {ended}'
    enough = "sum by (task) (increase(celery_tasks_total[10m])) >= 20"
    judge(tmp_path, naive("Naive", f"{before} > 0.1 and {enough}"), series, silent("Naive", "179m", "239m"))
    seldom = failing_since(120, 85, 0.03, 300)
    judge(tmp_path, RULES, seldom, silent(name, *(f"{minute}m" for minute in range(125, 300, 7))))


def test_many_tasks_that_run_rarely_page_together(tmp_path: Path) -> None:
    """If a lost database fails 30 tasks that run twice an hour each, one alert fires, about the application."""
    ended = [now // 30 for now in range(181)]
    series: dict[str, str] = {}
    for number in range(30):
        failure = [max(count - ended[90], 0) for count in ended]
        success = [min(count, ended[90]) for count in ended]
        series |= outcomes(f"shop.{number}", success, failure)
    firing = [SHOP | {"severity": "critical"}]
    checks = [("CeleryFailureRateCritical", "130m", firing), *silent("CeleryTaskFailureRateCritical", "130m", "180m")]
    judge(tmp_path, RULES, series, [*silent("CeleryFailureRateCritical", "89m"), *checks])


def test_five_executions_a_day_page_by_the_third(tmp_path: Path) -> None:
    """If a task runs five times a day, its third failure in a row fires an alert, and alternating failures do not."""
    name = f'celery_task_consecutive_failures{{{WHERE}, task="shop.report"}}'
    failed = f'celery_task_last_failure_timestamp_seconds{{{WHERE}, task="shop.report"}}'
    firing = [SHOP | {"severity": "critical", "task": "shop.report"}]
    checks = [*silent("CeleryTaskFailing", "8h", "9h30m"), ("CeleryTaskFailing", "10h", firing)]
    judge(tmp_path, RULES, {name: "0x10 1x287 2x287 3x287 4x287", failed: "0+60x1200"}, checks)
    flips = {failed: "0+60x300", name: "0x30 1x30 2x30 0x30 1x30 0x30 1x30 2x30 0x30"}
    judge(tmp_path, RULES, flips, silent("CeleryTaskFailing", *(f"{minute}m" for minute in range(5, 270, 9))))


def test_workers_scaled_to_zero_are_no_outage_until_work_comes(tmp_path: Path) -> None:
    """Without workers an alert fires only if messages wait or workers were killed."""
    online = f'celery_workers{{{WHERE}, state="online"}}'
    series = {
        online: "2x20 0x120",
        f'celery_workers{{{WHERE}, state="lost"}}': "0x140",
        f"celery_exporter_event_stream_up{{{WHERE}}}": "1x140",
        f'celery_queue_length{{{WHERE}, queue="mail"}}': "0x100 3x40",
    }
    firing = [SHOP | {"severity": "critical"}]
    checks = [*silent("CeleryNoWorkersOnline", "40m", "95m", "102m"), ("CeleryNoWorkersOnline", "110m", firing)]
    judge(tmp_path, RULES, series, checks)
    rule = naive("Naive", 'celery_workers{state="online"} == 0')
    where = {"severity": "critical", "instance": "exporter:9808", "state": "online"}
    judge(tmp_path, rule, series, [("Naive", "40m", [SHOP | where])])
    killed = series | {f'celery_workers{{{WHERE}, state="lost"}}': "0x20 2x120"}
    judge(tmp_path, RULES, killed, [("CeleryNoWorkersOnline", "40m", firing)])
    sent = {name: value for name, value in series.items() if "length" not in name}
    sent[f'celery_tasks_sent_total{{{WHERE}, task="t", queue="mail"}}'] = "0x60 0+1x80"
    checks = [*silent("CeleryNoWorkersOnline", "60m"), ("CeleryNoWorkersOnline", "80m", firing)]
    judge(tmp_path, RULES, sent, checks)


def test_a_pod_that_is_replaced_under_a_new_name_is_not_down(tmp_path: Path) -> None:
    """A killed pod whose successor is online within minutes fires no alert, and one without a successor does."""
    old, new = (f'celery_worker_up{{{WHERE}, worker="{pod}"}}' for pod in ("celery@pod-a", "celery@pod-b"))
    online = f'celery_workers{{{WHERE}, state="online"}}'
    lost = f'celery_workers{{{WHERE}, state="lost"}}'
    series = {old: "1x20 0x60", new: "_x21 1x60", online: "2x20 1 2x60", lost: "0x20 1x60"}
    judge(tmp_path, RULES, series, silent("CeleryWorkerDown", *(f"{minute}m" for minute in range(20, 80, 3))))
    where = SHOP | {"instance": "exporter:9808", "severity": "critical", "worker": "celery@pod-a"}
    judge(tmp_path, naive("Naive", "celery_worker_up == 0"), series, [("Naive", "40m", [where])])
    firing = [SHOP | {"severity": "warning", "worker": "celery@pod-a"}]
    judge(
        tmp_path,
        RULES,
        {old: "1x20 0x60", online: "2x20 1x60", lost: "0x20 1x60"},
        [("CeleryWorkerDown", "27m", firing)],
    )


def test_a_worker_that_is_lost_four_of_five_minutes_is_down(tmp_path: Path) -> None:
    """A worker that returns for a minute now and then is down, although it is never lost for five whole minutes."""
    up = " ".join(["1"] * 20 + ["0", "0", "0", "0", "1"] * 10)
    online = " ".join(["2"] * 20 + ["1", "1", "1", "1", "2"] * 10)
    series = {
        f'celery_worker_up{{{WHERE}, worker="w"}}': up,
        f'celery_workers{{{WHERE}, state="online"}}': online,
    }
    firing = [SHOP | {"severity": "warning", "worker": "w"}]
    judge(tmp_path, RULES, series, [*silent("CeleryWorkerDown", "20m"), ("CeleryWorkerDown", "45m", firing)])
    judge(tmp_path, naive("Naive", "celery_worker_up == 0"), series, silent("Naive", "45m", "60m"))


def test_tasks_that_run_for_hours_by_design(tmp_path: Path) -> None:
    """A task may run as long as its threshold, and a queue with busy processes is not stalled."""
    series = {
        f'celery_task_oldest_started_timestamp_seconds{{{WHERE}, task="report"}}': "0x240",
        f'celery_task_runtime_threshold_seconds{{{WHERE}, task="report"}}': "10800x240",
        f'celery_task_oldest_started_timestamp_seconds{{{WHERE}, task="other"}}': "0x240",
        f'celery_task_runtime_threshold_seconds{{{WHERE}, task="other"}}': "5x240",
        f'celery_queue_length{{{WHERE}, queue="reports"}}': "5x240",
        f'celery_queue_consumers{{{WHERE}, queue="reports"}}': "1x240",
        f'celery_worker_queue_info{{{WHERE}, queue="reports", worker="w"}}': "1x240",
        f'celery_worker_concurrency{{{WHERE}, worker="w"}}': "4x240",
        f'celery_worker_tasks_active{{{WHERE}, worker="w"}}': "4x120 3x120",
        f'celery_tasks_started_total{{{WHERE}, task="report", queue="reports"}}': "4x240",
    }
    series[f"celery_exporter_event_stream_up{{{WHERE}}}"] = "1x240"
    stuck = [SHOP | {"severity": "warning", "task": name} for name in ("other", "report")]
    stalled = [SHOP | {"severity": "critical", "queue": "reports"}]
    saturated = [SHOP | {"severity": "warning", "queue": "reports"}]
    checks = [
        ("CeleryTaskStuck", "59m", []),
        ("CeleryTaskStuck", "150m", stuck[:1]),
        ("CeleryTaskStuck", "190m", stuck),
        ("CeleryWorkersSaturated", "100m", saturated),
        *silent("CeleryQueueStalled", "30m", "119m"),
        ("CeleryQueueStalled", "140m", stalled),
    ]
    judge(tmp_path, RULES, series, checks)


def test_two_executions_have_no_percentile(tmp_path: Path) -> None:
    """Two executions that waited ten minutes or more fire no alert, but a dozen do."""
    bucket = f'celery_task_wait_seconds_bucket{{{WHERE}, task="t", queue="q", le='
    count = f'celery_task_wait_seconds_count{{{WHERE}, task="t", queue="q"}}'

    def waits(step: str) -> dict[str, str]:
        return {f'{bucket}"600.0"}}': "0x60", f'{bucket}"1800.0"}}': step, f'{bucket}"+Inf"}}': step, count: step}

    judge(tmp_path, RULES, waits("0+0.2x60"), silent("CeleryTaskWaitCritical", "30m", "60m"))
    firing = [SHOP | {"severity": "critical", "task": "t", "queue": "q"}]
    judge(tmp_path, RULES, waits("0+1.2x60"), [("CeleryTaskWaitCritical", "30m", firing)])


def test_the_workers_of_one_queue_are_saturated_while_others_idle(tmp_path: Path) -> None:
    """If two queues have different workers, the alert contains only the queue whose workers are all busy."""
    series = {f'celery_queue_length{{{WHERE}, queue="{queue}"}}': "9x60" for queue in ("a", "b")}
    for queue, active in (("a", "4x60"), ("b", "0x60")):
        series |= {
            f'celery_worker_queue_info{{{WHERE}, queue="{queue}", worker="{queue}"}}': "1x60",
            f'celery_worker_concurrency{{{WHERE}, worker="{queue}"}}': "4x60",
            f'celery_worker_tasks_active{{{WHERE}, worker="{queue}"}}': active,
        }
    firing = [SHOP | {"severity": "warning", "queue": "a"}]
    judge(tmp_path, RULES, series, [("CeleryWorkersSaturated", "50m", firing)])
    rule = naive("Naive", "sum(celery_worker_tasks_active) / sum(celery_worker_concurrency) > 0.95")
    judge(tmp_path, rule, series, silent("Naive", "50m"))


def test_a_daily_task_that_never_succeeds_pages_across_restarts_of_the_exporter(tmp_path: Path) -> None:
    """A task that never succeeds fires after three days, even if the exporter restarts every day."""
    expected = f'celery_task_expected_interval_seconds{{{WHERE}, task="report"}}'
    days = " ".join(["86400x284 stale _x2"] * 4)
    firing = [SHOP | {"severity": "critical", "task": "report"}]
    name = "CeleryPeriodicTaskNeverSucceeded"
    rules = render_rules([celery_tasks.GROUP], RenderOptions())
    judge(tmp_path, rules, {expected: days}, [*silent(name, "71h"), (name, "75h", firing)], "5m", "1h")
    success = f'celery_task_last_success_timestamp_seconds{{{WHERE}, task="report"}}'
    once = {expected: days, success: "3600x120 stale"}
    name = "CeleryPeriodicTaskStale"
    judge(tmp_path, rules, once, [*silent(name, "71h"), (name, "76h", firing)], "5m", "1h")


def test_a_far_eta_makes_one_alert_instead_of_one_each_hour(tmp_path: Path) -> None:
    """A message that is delivered again each hour keeps one alert firing, while a naive rule resolves in between."""
    age = f"celery_unacked_oldest_age_seconds{{{WHERE}}}"
    series = {
        age: " ".join(["0+60x59"] * 4),
        f"celery_broker_visibility_timeout_seconds{{{WHERE}}}": "3600x240",
    }
    firing = [SHOP | {"severity": "warning"}]
    name = "CeleryTaskNearVisibilityTimeout"
    judge(tmp_path, RULES, series, [(name, at, firing) for at in ("55m", "70m", "100m", "130m", "170m", "230m")])
    rule = naive("Naive", "celery_unacked_oldest_age_seconds > 0.8 * celery_broker_visibility_timeout_seconds", "1m")
    judge(tmp_path, rule, series, silent("Naive", "70m", "100m", "130m"))


def test_a_queue_that_is_long_by_design(tmp_path: Path) -> None:
    """100,000 messages for three hours fire five alerts, and none if the settings allow them."""
    queue = f'{WHERE}, queue="nightly"'
    counts_of_waits = {"0x240": ("10.0", "600.0"), "0+500x240": ("7200.0", "+Inf")}
    series = {
        f"celery_queue_length{{{queue}}}": "0x10 20000 40000 60000 80000 100000 99500-500x190",
        f"celery_queue_oldest_message_age_seconds{{{queue}}}": "0x15 0+60x190",
        f'celery_tasks_started_total{{{queue}, task="t"}}': "0+500x240",
        f'celery_task_wait_seconds_count{{{queue}, task="t"}}': "0+500x240",
    }
    for values, bounds in counts_of_waits.items():
        for bound in bounds:
            series[f'celery_task_wait_seconds_bucket{{{queue}, task="t", le="{bound}"}}'] = values
    names = ("CeleryQueueLong", "CeleryQueueDrainTimeHigh", "CeleryQueueOldestMessageOld")
    waits = (("CeleryTaskWaitHigh", "warning"), ("CeleryTaskWaitCritical", "critical"))
    warning = [SHOP | {"severity": "warning", "queue": "nightly"}]
    of_task = SHOP | {"queue": "nightly", "task": "t"}
    checks: list[Check] = [(name, "60m", warning) for name in names]
    checks += [(name, "60m", [of_task | {"severity": severity}]) for name, severity in waits]
    judge(tmp_path, RULES, series, checks)
    # The same settings from two exporters, as in a pair, must not make a match ambiguous.
    for instance in ("exporter:9808", "other:9808"):
        of_pair = queue.replace("exporter:9808", instance)
        series[f"celery_queue_length_threshold{{{of_pair}}}"] = "120000x240"
        series[f"celery_queue_wait_threshold_seconds{{{of_pair}}}"] = "14400x240"
    everything = [*names, *(name for name, _ in waits), "CeleryQueueBacklogGrowing"]
    judge(tmp_path, RULES, series, [check for name in everything for check in silent(name, "30m", "60m", "150m")])
    series[f"celery_queue_length{{{queue}}}"] = "0x10 130000x230"
    judge(tmp_path, RULES, series, [("CeleryQueueLong", "60m", warning)])


def test_a_queue_that_must_be_short(tmp_path: Path) -> None:
    """A threshold below the default fires earlier, for its queue only."""
    series = {f'celery_queue_length{{{WHERE}, queue="{queue}"}}': "6x60" for queue in ("urgent", "other")}
    series[f'celery_queue_length_threshold{{{WHERE}, queue="urgent"}}'] = "5x60"
    firing = [SHOP | {"severity": "warning", "queue": "urgent"}]
    judge(tmp_path, RULES, series, [("CeleryQueueLong", "30m", firing)])


def test_other_exporters_series_are_not_ours(tmp_path: Path) -> None:
    """Series of redis_exporter and celery-exporter with the same names fire no alert and hide none."""
    others = 'job="redis_exporter", instance="cache-1:9121"'
    series = {
        f"redis_memory_used_bytes{{{others}}}": "99x60",
        f"redis_memory_max_bytes{{{others}}}": "100x60",
        f"redis_up{{{others}}}": "0x60",
        f"redis_rdb_last_bgsave_status{{{others}}}": "0x60",
        'celery_queue_length{job="danihodovic", queue_name="mail"}': "900x60",
        'celery_worker_up{job="danihodovic", hostname="celery@a"}': "0x60",
    }
    names = ("RedisMemoryHigh", "RedisMemoryCritical", "RedisDown", "RedisPersistenceFailing", "CeleryQueueLong")
    checks = [check for name in (*names, "CeleryWorkerDown") for check in silent(name, "30m", "59m")]
    judge(tmp_path, RULES, series, checks)
    ours = [SHOP | {"severity": "critical", "redis": "broker"}]
    judge(tmp_path, RULES, series | {f'redis_up{{{WHERE}, redis="broker"}}': "0x60"}, [("RedisDown", "30m", ours)])


@pytest.mark.parametrize(("redis", "policy", "fires"), [
    ("cache", "allkeys-lru", False), ("cache", "volatile-ttl", False), ("cache", "noeviction", True),
    ("broker", "allkeys-lru", True), ("broker/10.0.0.1:7000", "allkeys-lru", True), ("results", "volatile-lru", True),
])  # fmt: skip
def test_a_cache_may_be_full_and_evict(tmp_path: Path, redis: str, policy: str, fires: bool) -> None:  # noqa: FBT001
    """A server may be full and evict if it is a cache by its policy, unless it is the broker or has the results."""
    where = f'{WHERE}, redis="{redis}"'
    series = {
        f'redis_instance_info{{{where}, role="master", maxmemory_policy="{policy}"}}': "1x60",
        f"redis_memory_used_bytes{{{where}}}": "99x60",
        f"redis_memory_max_bytes{{{where}}}": "100x60",
        f"redis_evicted_keys_total{{{where}}}": "0+50x60",
    }
    labels = [SHOP | {"severity": "critical", "redis": redis}]
    names = ("RedisMemoryCritical", "RedisEvictingKeys")
    judge(tmp_path, RULES, series, [(name, "30m", labels if fires else []) for name in names])


def test_a_failover_is_no_lost_replica(tmp_path: Path) -> None:
    """A master that a failover made a replica has no replicas, but the alert about a lost replica does not fire."""
    where = f'{WHERE}, redis="broker"'
    series = {
        f"redis_connected_slaves{{{where}}}": "2x20 0x60",
        f'redis_instance_info{{{where}, role="master"}}': "1x20 stale",
        f'redis_instance_info{{{where}, role="slave"}}': "_x21 1x60",
    }
    judge(tmp_path, RULES, series, silent("RedisReplicaLost", "30m", "60m"))
    rule = naive("Naive", "max_over_time(redis_connected_slaves[1h]) > redis_connected_slaves")
    firing = [SHOP | {"instance": "exporter:9808", "redis": "broker", "severity": "critical"}]
    judge(tmp_path, rule, series, [("Naive", "30m", firing)])


def test_a_drained_server_is_not_fragmented(tmp_path: Path) -> None:
    """Resident memory of a drained queue fires no alert, but fragmentation inside the allocator does."""
    where = f'{WHERE}, redis="broker"'
    series = {
        f"redis_mem_fragmentation_ratio{{{where}}}": "8x60",
        f"redis_allocator_frag_ratio{{{where}}}": "1.1x60",
        f"redis_memory_used_bytes{{{where}}}": "150000000x60",
    }
    judge(tmp_path, RULES, series, silent("RedisFragmentationHigh", "50m"))
    firing = [SHOP | {"redis": "broker", "severity": "warning"}]
    series[f"redis_allocator_frag_ratio{{{where}}}"] = "1.8x60"
    judge(tmp_path, RULES, series, [("RedisFragmentationHigh", "50m", firing)])
