# SPDX-License-Identifier: Apache-2.0
"""Define every label once: its meaning, and whether its values are a closed list."""

from celery_redis_exporter.catalog.metric import Label

TASK = Label("task", "Task name as registered in Celery, e.g. `proj.tasks.add`.")
QUEUE = Label("queue", "Queue name; `unknown` where neither task-sent nor the worker states it.")
STATE = Label("state", "success, failure, retry, revoked or rejected.", closed=True)
EXCEPTION = Label("exception", "Class name of the exception, without its module; `unknown` if no field names it.")
REVOCATION = Label("reason", "terminated, expired or revoked.", closed=True)
WORKER = Label("worker", "Full node name, e.g. `celery@host`.")
WORKER_STATE = Label("state", "online, lost or offline.", closed=True)
POOL = Label("pool", "prefork, threads, solo, gevent, eventlet; MODULE:CLASS of a pool of one's own.")
BEAT = Label("beat", "Node name of a scheduler, as in celerybeat@host.")
PERIOD = Label("period", "1m, 5m or 15m.", closed=True)
VERSION = Label("version", "Version of the software.")
SOFTWARE = Label("software", "Software that the worker names itself as, e.g. `py-celery`.")
SYSTEM = Label("system", "Operating system of the worker, e.g. `Linux`.")
PRIORITY = Label("priority", "Priority step of the list; 0 is served first.", closed=True)

REDIS = Label(
    "redis",
    "Which of the configured servers: `broker`, `results` or its name in the settings; `broker@ADDRESS` if several "
    "applications use it.",
)
DB = Label("db", "Logical database, e.g. `db0`.")
CMD = Label("cmd", "Redis command, lower case, subcommand behind `|`.")
ERR = Label("err", "Error prefix as Redis counts it, e.g. `NOPERM`.")
EVENT_NAME = Label("event_name", "Latency event as Redis names it, e.g. `fork`.")
ROLE = Label("role", "master or slave.")
REDIS_VERSION = Label("redis_version", "Version of the server.")
REDIS_BUILD_ID = Label("redis_build_id", "Build id of the server.")
REDIS_MODE = Label("redis_mode", "standalone, sentinel or cluster.")
OS = Label("os", "Operating system of the server.")
MAXMEMORY_POLICY = Label("maxmemory_policy", "Eviction policy; a broker needs `noeviction`.")
TCP_PORT = Label("tcp_port", "Port the server listens on.")
RUN_ID = Label("run_id", "Changes at each start of the server.")
PROCESS_ID = Label("process_id", "Process id of the server.")
MASTER_REPLID = Label("master_replid", "Replication id.")
MASTER_HOST = Label("master_host", "Address of the master of this replica.")
MASTER_PORT = Label("master_port", "Port of the master of this replica.")
READ_ONLY = Label("read_only", "1 when the replica refuses writes.")
SLAVE_IP = Label("slave_ip", "Address of the replica.")
SLAVE_PORT = Label("slave_port", "Port of the replica.")
SLAVE_STATE = Label("slave_state", "State of the replica as its master sees it.")
PRODUCT = Label("product", "Redis, Valkey, Dragonfly, Garnet, Kvrocks or Pika.")
PRODUCT_VERSION = Label("version", "The product's own version.")
VALKEY_VERSION = Label("valkey_version", "Version of Valkey; empty on other servers.")
VALKEY_RELEASE_STAGE = Label("valkey_release_stage", "dev, rc or ga of Valkey; empty on other servers.")
AVAILABILITY_ZONE = Label("availability_zone", "The availability zone that Valkey reports; empty if it reports none.")
CERTIFICATE = Label("certificate", "server, client or ca.", closed=True)
SERIAL = Label("serial", "Serial number of the certificate; `none` without one.")
ENGINE = Label("engine", "Name of the scripting engine, e.g. `LUA`.")
MODULE = Label("module", "Module that the scripting engine comes from.")
ABI_VERSION = Label("abi_version", "Version of the interface between engine and server.")
MODULE_NAME = Label("name", "Name of the module.")
MODULE_VERSION = Label("ver", "Its version.")
MODULE_API = Label("api", "Version of the interface that it was built for.")
MODULE_FILTERS = Label("filters", "How many filters of commands it has.")
MODULE_USED_BY = Label("usedby", "Modules that use it.")
MODULE_USING = Label("using", "Modules that it uses.")
KEY_TYPE = Label("type", "strings, lists, sets, zsets, hashes, or another type that Redis counts.")
AT_LEAST = Label("at_least", "The least that the keys of this series have: 0, or a power of two.")
THREAD = Label("thread", "Number of the thread.")
CLIENT_CLASS = Label("class", "Class of clients: normal, slave (replica on newer servers) or pubsub.")
LIMIT = Label("limit", "hard or soft.", closed=True)

TYPE = Label("type", "Event type; `other` for custom events.", closed=True)
TRANSPORT = Label("transport", "How the broker is reached, e.g. `amqp`.")
REASON = Label("reason", "Why; a closed list in the metric's help.", closed=True)
EVICTION = Label("reason", "count, age, inactive, lost, offline or restarted.", closed=True)
FIELD = Label("field", "Name of a field of Celery's events or inspect replies.", closed=True)
METRIC = Label("metric", "Name of the metric family.", closed=True)
INSPECTION = Label("command", "stats, active_queues, scheduled, reserved, active or registered.", closed=True)
COLLECTOR = Label("collector", "Part of the exporter that reads something.")
SCRAPE_ERROR = Label(
    "err",
    "Empty, or one of refused, timeout, dns, tls, auth, noperm, nomaster, loading, masterdown, moved, clusterdown, "
    "busy, maxclients, denied, address, closed, protocol, bug.",
    closed=True,
)
PYTHON_VERSION = Label("python_version", "Version of Python.")
REDIS_PY_VERSION = Label("redis_py_version", "Version of the redis client library.")
REDIS_COMMAND = Label("command", "Redis command as an ACL grants it, e.g. `slowlog|get`; on RabbitMQ `queue.declare`.")
MASTER_NAME = Label("master_name", "Name under which sentinels know a master.")
MASTER_ADDRESS = Label("master_address", "Address of a master as a sentinel sees it.")
MASTER_STATUS = Label("master_status", "State of a master as a sentinel sees it: ok, sdown or odown.", closed=True)
MESSAGE = Label("message", "What the sentinel reports about its quorum.")
RESULT = Label("result", "done or failed.", closed=True)
FOUND = Label("found", "hit or miss.", closed=True)
KEY = Label("key", "Name of a key, as redis.keys has it.")
KEY_GROUP = Label(
    "key_group",
    "A queue's name, a kind of Celery's keys, a pattern of the settings, or what names have in common, as in"
    " `user:*:profile`.",
)
ESTIMATE = Label("estimate", "count or memory.", closed=True)
CYCLE_OUTCOME = Label("outcome", "What ended the look; a closed list in the metric's help.", closed=True)
