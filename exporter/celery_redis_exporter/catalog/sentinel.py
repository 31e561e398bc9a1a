# SPDX-License-Identifier: Apache-2.0
"""Define Sentinel's metrics with the names, types and units of oliver006/redis_exporter, plus the label ``redis``.

``decode/sentinel.py`` reads the rows: plain ones from INFO, those of a master from SENTINEL MASTERS.
"""

from celery_redis_exporter.catalog import labels as lb
from celery_redis_exporter.catalog.metric import CommandOrigin, Info, Label, Metric, gauge

MASTERS = "SENTINEL MASTERS"
OF_MASTER: tuple[Label, ...] = (lb.REDIS, lb.MASTER_NAME, lb.MASTER_ADDRESS)


def _gauge(fieldname: str, help: str) -> Metric:  # noqa: A002 -- Prometheus's word
    return gauge(f"redis_{fieldname}", help, (lb.REDIS,), Info("sentinel", fieldname))


def _setting(name: str, field: str, help: str, divisor: float = 1) -> Metric:  # noqa: A002 -- as above
    return gauge(f"redis_sentinel_master_{name}", help, OF_MASTER, Info(MASTERS, field, divisor=divisor))


INFO_ROWS: tuple[Metric, ...] = (
    _gauge("sentinel_masters", "Masters that the sentinel watches."),
    _gauge("sentinel_tilt", "1 in TILT mode, in which the sentinel does not act because its clock jumped."),
    _gauge("sentinel_running_scripts", "Notification scripts that run."),
    _gauge("sentinel_scripts_queue_length", "Notification scripts that wait."),
    _gauge("sentinel_simulate_failure_flags", "Failures that the sentinel simulates, for tests."),
)
MASTER_STATUS = gauge(
    "redis_sentinel_master_status",
    "1 if the sentinel takes the master to be up; its word for that in the label.",
    (*OF_MASTER, lb.MASTER_STATUS),
    Info("sentinel", "master*", "status"),
)
MASTER_SLAVES = gauge(
    "redis_sentinel_master_slaves",
    "Replicas that the sentinel knows.",
    OF_MASTER,
    Info("sentinel", "master*", "slaves"),
)
MASTER_SENTINELS = gauge(
    "redis_sentinel_master_sentinels",
    "Sentinels that watch the master, as far as this one knows; itself included.",
    OF_MASTER,
    Info("sentinel", "master*", "sentinels"),
)
CKQUORUM_STATUS = gauge(
    "redis_sentinel_master_ckquorum_status",
    "1 if enough sentinels are there to declare the master down and elect another.",
    (lb.REDIS, lb.MASTER_NAME, lb.MESSAGE),
    CommandOrigin("SENTINEL CKQUORUM"),
)
OK_SENTINELS = gauge(
    "redis_sentinel_master_ok_sentinels",
    "Sentinels of the master that are not taken to be down, this one included.",
    OF_MASTER,
    CommandOrigin("SENTINEL SENTINELS"),
)
OK_SLAVES = gauge(
    "redis_sentinel_master_ok_slaves",
    "Replicas of the master that are not taken to be down.",
    OF_MASTER,
    CommandOrigin("SENTINEL SLAVES"),
)
MASTER_ROWS: tuple[Metric, ...] = (
    _setting("setting_ckquorum", "quorum", "Sentinels that must agree that the master is down."),
    _setting("setting_failover_timeout", "failover-timeout", "Timeout of a failover, in milliseconds."),
    _setting("setting_parallel_syncs", "parallel-syncs", "Replicas that follow a new master at the same time."),
    _setting(
        "setting_down_after_milliseconds", "down-after-milliseconds",
        "Silence after which the sentinel takes the master to be down, in milliseconds.",
    ),
    _setting("config_epoch", "config-epoch", "Version of the configuration; it rises with each failover."),
    _setting("last_ok_ping_reply_seconds", "last-ok-ping-reply", "Time since the master's last good answer.", 1e3),
)  # fmt: skip

METRICS: tuple[Metric, ...] = (
    *INFO_ROWS, MASTER_STATUS, MASTER_SLAVES, MASTER_SENTINELS, CKQUORUM_STATUS, OK_SENTINELS, OK_SLAVES, *MASTER_ROWS,
)  # fmt: skip
