# SPDX-License-Identifier: Apache-2.0
"""Define every kind of finding: its code, level, meaning and cause. Codes are stable, because scripts search for them.

Data only. ``reference`` generates the table in README.md from this module.
"""

from celery_redis_exporter.alerts.thresholds import threshold
from celery_redis_exporter.cli.check.finding import FindingRow
from celery_redis_exporter.cli.check.reasons import ROWS as REASON_ROWS

SETTINGS_READ = FindingRow("settings-read", "ok", "flags, environment and file make valid settings")
SETTINGS_NOTED = FindingRow(
    "settings-noted", "note", "something in the settings has no effect, or not the one it seems to",
    "the exporter starts, and reports it in its log",
)  # fmt: skip
SETTINGS_WRONG = FindingRow(
    "settings-wrong", "fail", "a setting, a flag or a file is wrong: exit code 2",
    "the exporter would not start with this",
)  # fmt: skip

WEB_FREE = FindingRow("web-port-free", "ok", "the address of the metrics can be listened on")
WEB_TAKEN = FindingRow(
    "web-port-taken", "note", "something listens there already",
    "if it is the exporter, nothing is wrong; any other program prevents the exporter from starting",
)  # fmt: skip
WEB_DENIED = FindingRow(
    "web-port-denied", "fail", "the address of the metrics can't be listened on",
    "the port is below 1024 and needs a permission, or this machine does not have the address",
)  # fmt: skip
CERTIFICATE_VALID = FindingRow(
    "web-certificate-valid", "ok", "the certificate of the metrics is valid for 30 days and more"
)
CERTIFICATE_ENDS = FindingRow(
    "web-certificate-ends", "warn", "it ends in less than 30 days", "after that day Prometheus refuses every scrape"
)
CERTIFICATE_INVALID = FindingRow(
    "web-certificate-invalid", "fail", "it ended, is not valid yet, or is not what it should be",
    "Prometheus refuses every scrape",
)  # fmt: skip

REDIS_ANSWERS = FindingRow("redis-answers", "ok", "the server answers this user on this connection")
BROKER_ANSWERS = FindingRow("broker-answers", "ok", "the same of a broker other than Redis")
BROKER_QUEUE_ABSENT = FindingRow(
    "broker-queue-absent", "note", "a queue of the settings does not exist",
    "no worker has declared it yet, or its name is written differently",
)  # fmt: skip
BROKER_QUEUE_DENIED = FindingRow(
    "broker-queue-denied", "warn", "the broker refuses to count queues, and their metrics are missing",
    "RabbitMQ 4.3.1 and later count a queue for users with any permission on it; 4.2.6 and 4.3.0 require the permission"
    " to configure it, so that an upgrade is better there",
)  # fmt: skip
RIGHTS_GRANTED = FindingRow("redis-rights-granted", "ok", "all commands of a scrape and of the background are allowed")
RIGHTS_MISSING = FindingRow(
    "redis-rights-missing", "warn", "commands are refused, and their metrics stay empty",
    "the user lacks the permission, or the server does not have the command",
)  # fmt: skip
INFO_DENIED = FindingRow(
    "redis-info-denied", "fail", "INFO is refused: no metric of the server is shown", "the user lacks the permission"
)
REPLY_ODD = FindingRow(
    "redis-reply-odd", "warn", "a command is answered with an error",
    "a key of Celery has another type than Celery uses, or a proxy changes replies",
)  # fmt: skip
VERSION_OLD = FindingRow(
    "redis-version-old", "warn", "the server is older than Redis 6.2",
    "it receives no security fixes, and has no CLIENT LIST ID: celery_exporter_event_backlog_bytes is absent",
)  # fmt: skip
VERSION_UNKNOWN = FindingRow(
    "redis-version-unknown", "note", "the server does not report its version",
    "a proxy, or a service with the protocol of Redis; some metrics may be missing",
)  # fmt: skip
REPLICA = FindingRow(
    "redis-replica", "warn", "the broker or result backend is a replica that can be written to",
    "what Celery writes to it is not on its master, and is lost at the next synchronisation",
)  # fmt: skip
READ_ONLY = FindingRow(
    "redis-read-only", "fail", "the broker or result backend is a read-only replica",
    "Celery can't write to it, for instance after a failover: settings should name the master, or the sentinels that"
    " monitor it",
)  # fmt: skip
SENTINEL = FindingRow(
    "redis-sentinel", "fail", "the URL of the broker or result backend names a sentinel",
    "a sentinel stores no data; with sentinel:// and master_name it is queried for the master",
)  # fmt: skip
SLOW = FindingRow(
    "redis-slow", "warn", "the fastest of five PINGs took more than 50 ms",
    "a slow network, or a server that is blocked by slow commands, swap or the start of a dump",
)  # fmt: skip
EVICTION = FindingRow(
    "redis-eviction", "warn", "keys are evicted, or the broker may do so",
    "at its memory limit Redis deletes tasks, bindings and unacknowledged messages",
)  # fmt: skip
MEMORY_UNLIMITED = FindingRow(
    "redis-memory-unlimited", "note", "maxmemory is not set",
    "Redis grows until the system kills it, and loses what is not on disk",
)  # fmt: skip
MEMORY_FULL = FindingRow(
    "redis-memory-full", "warn", f"more than {100 * threshold('RedisMemoryHigh', 'ratio'):.0f} % of maxmemory is used",
    "at the limit writes fail",
)  # fmt: skip
MEMORY_REFUSING = FindingRow(
    "redis-memory-refusing", "fail", "more than maxmemory is used, and writes are refused now",
    "over the limit with maxmemory-policy noeviction every command that may need memory is an error (OOM)",
)  # fmt: skip
PERSISTENCE = FindingRow(
    "redis-persistence", "warn", "nothing is written to disk",
    "a restart of Redis loses every waiting task",
)  # fmt: skip
PERSISTENCE_FAILED = FindingRow(
    "redis-persistence-failed", "fail", "the last dump, append or rewrite of the append-only file failed",
    "while it can't save, Redis refuses writes, or loses them at a restart",
)  # fmt: skip
BUFFERS = FindingRow(
    "redis-buffers", "warn", "the output buffer of subscribers is too small, without a limit, or ran over",
    "a subscriber that is cut off loses all events in its buffer",
)  # fmt: skip
FRAGMENTED = FindingRow(
    "redis-fragmented", "warn", "memory is fragmented", "the allocator holds pages with gaps in them"
)
CLUSTER_FOUND = FindingRow(
    "redis-cluster-found", "ok", "the nodes of the cluster are found, and each of them is checked"
)
NODES_REFUSED = FindingRow(
    "redis-nodes-refused", "warn", "nodes of the cluster are not connected to",
    "redis.allowed_addresses does not contain their addresses, or, without that setting, they are in another kind of"
    " network than the server that names them",
)  # fmt: skip
QUORUM = FindingRow(
    "sentinel-quorum", "warn", "the sentinels could not agree on another master",
    "too few of them reach each other: if the master fails, no replica is promoted",
)  # fmt: skip

SUBSCRIBED = FindingRow("events-subscribed", "ok", "the subscription to events was confirmed")
EVENTS_DENIED = FindingRow(
    "events-denied", "fail", "the user may not subscribe to events", "its permissions lack PSUBSCRIBE, or this channel"
)
EVENTS_BROKEN = FindingRow(
    "events-broken", "fail", "there is no subscription to events, or it was lost",
    "the broker can't be reached, or closed the connection; every celery_task metric stays empty",
)  # fmt: skip
EVENTS_UNREADABLE = FindingRow(
    "events-unreadable", "warn", "messages on the channel can't be read",
    "Celery's event_serializer is neither json nor msgpack, or another program publishes there",
)  # fmt: skip
EVENTS_ALL_UNREADABLE = FindingRow(
    "events-all-unreadable", "fail", "no message on the channel can be read",
    "Celery's event_serializer is neither json nor msgpack: every celery_task and celery_worker metric stays empty",
)  # fmt: skip
OTHER_DATABASE = FindingRow(
    "events-other-database", "note", "no worker sends events here, and workers use another database of this server",
    "they are another application's, or the number after the last slash of the broker's URL differs from the workers'",
)  # fmt: skip
OTHER_PREFIX = FindingRow(
    "events-other-prefix", "fail", "no worker sends events, and the database has Celery's keys under another prefix",
    "global_keyprefix differs from the workers' broker_transport_options",
)  # fmt: skip
EXPORTERS = FindingRow(
    "exporters-many", "note", "several exporters are subscribed on this broker",
    "each of them queries all workers once a minute; one is enough, or two for availability",
)  # fmt: skip

WORKERS_OBSERVED = FindingRow("workers-seen", "ok", "heartbeats were received")
WORKERS_UNOBSERVED = FindingRow(
    "workers-unheard", "warn", "no heartbeat was received",
    "no worker runs; or workers send no heartbeats, or have another database, event_exchange or global_keyprefix",
)  # fmt: skip
NAME_TWICE = FindingRow(
    "worker-name-twice", "warn", "several workers have the same node name",
    "they are shown as one worker whose counts are sums, or are missing where the process ids are the same, as in"
    " containers; lost events are not counted, and answers are those of any one of them",
)  # fmt: skip
HEARTBEATS_OFF = FindingRow(
    "worker-heartbeats-off", "warn", "workers send task events and no heartbeats",
    "they run with --without-heartbeat, or with a long interval: they are up as long as they answer control commands,"
    " and lost events are not counted",
)  # fmt: skip
CLOCK_SKEW = FindingRow(
    "worker-clock-skew", "warn", "a worker's clock and this machine's differ by more than 5 s",
    "waiting times between machines are wrong by this difference; times within one worker are right",
)  # fmt: skip
CELERY_OLD = FindingRow(
    "worker-celery-old", "note", "a worker runs a Celery older than 5.3", "this exporter is tested with 5.3 to 5.7"
)
EVENTS_LOST = FindingRow(
    "worker-events-lost-by-celery", "warn", "a worker with the pool threads runs a Celery older than 5.7",
    "several threads flush one buffer of events (celery#10434): some events are lost or sent twice before any"
    " subscriber can receive them; celery_worker_events_missed_total counts lost starts",
)  # fmt: skip
TASK_EVENTS_ON = FindingRow("task-events-on", "ok", "task events were received")
TASK_EVENTS_OFF = FindingRow(
    "task-events-off", "fail",
    "workers execute tasks and send no task events: every celery_task metric of theirs stays empty",
    "they run without -E, or do not answer and execute tasks with send_events=False",
)  # fmt: skip
TASK_EVENTS_EVENTLESS = FindingRow(
    "task-events-eventless", "note", "workers execute tasks with send_events=False, and sent no task event",
    "such tasks send no events; check again while the worker executes others",
)  # fmt: skip
TASK_EVENTS_UNKNOWN = FindingRow(
    "task-events-unknown", "note", "no task event came, and no worker counted an execution",
    "idle workers do not show whether they send task events, for which they need -E; listen for longer with --listen",
)  # fmt: skip
TASK_SENT_ON = FindingRow("task-sent-on", "ok", "task-sent events were received")
TASK_SENT_OFF = FindingRow(
    "task-sent-off", "warn", "tasks are received, and no task-sent came",
    "publishers send no task-sent, so that queue is unknown and celery_task_wait_seconds stays empty; or these tasks"
    " were published before, and waited",
)  # fmt: skip
TASK_SENT_UNKNOWN = FindingRow(
    "task-sent-unknown",
    "note",
    "no task-sent came, and no task was received",
    "nothing was published, or publishers and workers send no task events; publishers need task_send_sent_event",
)
UNRECEIVED = FindingRow(
    "tasks-unreceived", "warn", "tasks are published and taken from their queue, and no worker reports them",
    "the workers of these queues run without -E, or what executes the tasks sends no events (celery-batches); a worker"
    " of the solo pool that is executing a task reports others when that ends",
)  # fmt: skip
CONTROL_ANSWERS = FindingRow("control-answers", "ok", "all workers that sent events answer control commands")
CONTROL_SILENT = FindingRow(
    "control-silent", "warn", "workers do not answer control commands",
    "accept_content is without json, remote control is off, or the worker is busy (solo pool)",
)  # fmt: skip
CONTROL_DENIED = FindingRow(
    "control-denied", "note", "the user may not send control commands",
    "pool, concurrency, reserved tasks and queues of workers stay empty; everything else works",
)  # fmt: skip
CONTROL_BROKEN = FindingRow(
    "control-broken",
    "warn",
    "control commands could not be sent",
    "the connection failed, or the server refuses writes",
)
CONTROL_OFF = FindingRow("control-off", "note", "the settings disable control commands", "celery.inspect_interval is 0")
CONF_TIMEOUT = FindingRow(
    "settings-visibility-timeout", "warn", "visibility_timeout is set in the exporter, and workers have another value",
    "CeleryTaskNearVisibilityTimeout and celery_unacked_overdue_messages use the exporter's setting; without it they"
    " use what workers report",
)  # fmt: skip
CONF_SEPARATOR = FindingRow(
    "settings-sep", "warn", "sep is set in the exporter, and workers have another value",
    "messages with a priority are not counted; without the setting what workers report is used",
)  # fmt: skip
CONF_STEPS = FindingRow(
    "settings-priority-steps", "warn", "priority_steps are set in the exporter, and workers have others",
    "messages of the missing steps are not counted; without the setting the steps of all workers are used",
)  # fmt: skip
CONF_DIFFERS = FindingRow(
    "workers-differ", "warn", "workers have different broker_transport_options",
    "the worker with the shortest visibility_timeout redelivers the messages of all, and only workers with the same sep"
    " and priority_steps find messages with a priority",
)  # fmt: skip
CONF_EVENTS = FindingRow(
    "worker-task-events-unset", "note", "worker_send_task_events is off in workers that sent no task event meanwhile",
    "they send task events if they were started with -E, which an idle worker does not show",
)  # fmt: skip
CONF_SENT = FindingRow(
    "worker-task-sent-unset", "note", "task_send_sent_event is off in workers, and no task-sent was received",
    "tasks that they publish have no task-sent; neither have tasks of publishers with the same settings",
)  # fmt: skip
CONSUMED = FindingRow("queues-consumed", "ok", "every queue with messages has a consumer")
OTHER_SEPARATOR = FindingRow(
    "queues-other-separator", "warn", "bindings have another separator than the settings",
    "sep differs from the broker_transport_options of workers or publishers: messages with a priority are not"
    " counted, and queues that only bindings name are not found",
)  # fmt: skip
UNCONSUMED = FindingRow(
    "queue-unconsumed", "warn", "messages wait in a queue that no worker consumes",
    "the worker for it does not run, or runs without this queue in -Q",
)  # fmt: skip
CONSUMERS_UNKNOWN = FindingRow(
    "queue-consumers-unknown", "note", "messages wait, and some workers do not report which queues they consume",
    "they do not answer control commands, and their heartbeats contain no queues",
)  # fmt: skip
# The daily checklist, from the report of a running exporter: ``check http://exporter:9808``.
DAILY_WORKERS_ONLINE = FindingRow("daily-workers-online", "ok", "every worker that the exporter knows is online")
DAILY_WORKERS_LOST = FindingRow(
    "daily-workers-lost", "fail", "workers are lost, and fewer are online than before",
    "they stopped sending heartbeats and did not report a stop",
)  # fmt: skip
DAILY_WORKERS_REPLACED = FindingRow(
    "daily-workers-replaced", "note", "workers are lost, and as many are online as before",
    "others replaced them; celery_worker_up is 0 for lost workers until workers.retention ends",
)  # fmt: skip
DAILY_QUEUES_SHORT = FindingRow("daily-queues-short", "ok", "fewer than 10 messages wait in each queue")
DAILY_QUEUES_LONG = FindingRow(
    "daily-queues-long", "warn", "10 messages or more wait in a queue, or as many as its length_threshold",
    "workers are too few, too slow or stopped; queues.length_threshold sets what is normal for a queue",
)  # fmt: skip
DAILY_SUCCESS = FindingRow("daily-success", "ok", "at least 90 % of the executions succeeded lately")
DAILY_FAILING = FindingRow(
    "daily-failing", "warn", "less than 90 % of the executions succeeded lately",
    "the status page shows the exceptions of each task; with status.failures also the last failures",
)  # fmt: skip
DAILY_MEMORY_LOW = FindingRow("daily-memory-low", "ok", "a Redis server uses less than 70 % of its memory limit")
DAILY_MEMORY_HIGH = FindingRow(
    "daily-memory-high", "warn", "a Redis server uses 70 % of its memory limit or more",
    "celery-redis-exporter analyze shows which keys take it",
)  # fmt: skip
DAILY_SERVER_DOWN = FindingRow(
    "daily-server-down", "fail", "a Redis server does not answer the exporter", "it is down, or refuses this user"
)
DAILY_NO_ERRORS = FindingRow("daily-no-errors", "ok", "no task failed since the exporter started")
DAILY_ERRORS = FindingRow(
    "daily-errors", "note", "tasks failed since the exporter started", "celery_task_exceptions_total has the exceptions"
)
DAILY_NOT_READ = FindingRow(
    "daily-not-read", "fail", "the exporter does not receive or read something", "numbers about it are missing or old"
)
DAILY_MISSED = FindingRow(
    "daily-missed", "note", "executions were not observed, so that counts of tasks are too low",
    "the exporter or its connection was down; celery_worker_events_missed_total has them by worker",
)  # fmt: skip
DAILY_CRITICAL = FindingRow(
    "daily-critical", "fail", "the status page shows something as critical that no line above reports",
    "an alert fires if it lasts for some minutes; alerts/runbooks.md has the remedies",
)  # fmt: skip
DAILY_WARNING = FindingRow(
    "daily-warning", "warn", "the status page warns of something that no line above reports",
    "an alert fires if it lasts for some minutes; alerts/runbooks.md has the remedies",
)  # fmt: skip
DAILY_UNKNOWN = FindingRow(
    "daily-unknown", "note", "the exporter can't tell, because it received nothing about it yet",
    "it started a moment ago, or nothing happens",
)  # fmt: skip

ROWS: tuple[FindingRow, ...] = (
    SETTINGS_READ, SETTINGS_NOTED, SETTINGS_WRONG,
    WEB_FREE, WEB_TAKEN, WEB_DENIED, CERTIFICATE_VALID, CERTIFICATE_ENDS, CERTIFICATE_INVALID,
    REDIS_ANSWERS, BROKER_ANSWERS, *REASON_ROWS, BROKER_QUEUE_ABSENT, BROKER_QUEUE_DENIED,
    RIGHTS_GRANTED, RIGHTS_MISSING, INFO_DENIED, REPLY_ODD,
    VERSION_OLD, VERSION_UNKNOWN, REPLICA, READ_ONLY, SENTINEL, SLOW,
    EVICTION, MEMORY_UNLIMITED, MEMORY_FULL, MEMORY_REFUSING, PERSISTENCE, PERSISTENCE_FAILED, BUFFERS, FRAGMENTED,
    CLUSTER_FOUND, NODES_REFUSED, QUORUM,
    SUBSCRIBED, EVENTS_DENIED, EVENTS_BROKEN, EVENTS_UNREADABLE, EVENTS_ALL_UNREADABLE, OTHER_DATABASE, OTHER_PREFIX,
    EXPORTERS,
    WORKERS_OBSERVED, WORKERS_UNOBSERVED, NAME_TWICE, HEARTBEATS_OFF, CLOCK_SKEW, CELERY_OLD, EVENTS_LOST,
    TASK_EVENTS_ON, TASK_EVENTS_OFF, TASK_EVENTS_EVENTLESS, TASK_EVENTS_UNKNOWN,
    TASK_SENT_ON, TASK_SENT_OFF, TASK_SENT_UNKNOWN, UNRECEIVED,
    CONTROL_ANSWERS, CONTROL_SILENT, CONTROL_DENIED, CONTROL_BROKEN, CONTROL_OFF,
    CONF_TIMEOUT, CONF_SEPARATOR, CONF_STEPS, CONF_DIFFERS, CONF_EVENTS, CONF_SENT,
    CONSUMED, OTHER_SEPARATOR, UNCONSUMED, CONSUMERS_UNKNOWN,
    DAILY_WORKERS_ONLINE, DAILY_WORKERS_LOST, DAILY_WORKERS_REPLACED, DAILY_QUEUES_SHORT, DAILY_QUEUES_LONG,
    DAILY_SUCCESS, DAILY_FAILING, DAILY_MEMORY_LOW, DAILY_MEMORY_HIGH, DAILY_SERVER_DOWN, DAILY_NO_ERRORS, DAILY_ERRORS,
    DAILY_NOT_READ, DAILY_MISSED, DAILY_CRITICAL, DAILY_WARNING, DAILY_UNKNOWN,
)  # fmt: skip
