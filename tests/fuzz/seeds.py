# SPDX-License-Identifier: Apache-2.0
"""First inputs of each target: messages and replies of real servers and workers, and former findings."""

import json
from pathlib import Path

import msgspec

FIXTURES = Path(__file__).parents[1] / "fixtures"
FOUND = FIXTURES / "fuzz"


WRITTEN: dict[str, list[bytes]] = {
    "control": [
        json.dumps({"body": json.dumps({"w@h": answer}), "headers": {"ticket": f"t/{command}"}}).encode()
        for command, answer in {
            "stats": {
                "pool": {"implementation": "celery.concurrency.solo:TaskPool", "max-concurrency": 2},
                "uptime": 5, "rusage": {"maxrss": 7}, "prefetch_count": 8,
            },
            "active_queues": [{"name": "celery", "exchange": {"name": "x"}, "routing_key": "r"}],
            "active": [{"id": "i", "name": "n", "delivery_info": {"exchange": "", "routing_key": "q"}}],
            "scheduled": [{"request": {"id": "i", "name": "n"}}],
            "registered": ["a [rate_limit=10/m]", "b"],
            "conf": {"broker_transport_options": {"visibility_timeout": 9, "priority_steps": "range(0, 9)"}},
            "ping": {"ok": "pong"},
        }.items()
    ],
    "event_body": [
        b"\0" + json.dumps([
            {"type": "task-sent", "uuid": {"__type__": "uuid", "__value__": {"hex": "0" * 32}}, "timestamp": 1,
             "name": "n" * 600, "exchange": "celery_delayed_27", "routing_key": "0." * 28 + "q", "retries": None},
            {"type": "worker-heartbeat", "hostname": "h", "timestamp": "1.5", "queues": "a, b", "loadavg": ["1", 2, 3]},
        ]).encode(),
        b'\0[{"type": "task-failed", "uuid": 7, "timestamp": 1, "hostname": "h", "exception": "\\udcff", "args": NaN}]',
    ],
    "queues": [
        b"celery\x06\x16\x06\x16celery", b"celery::celery", b'{"headers": {"id": "i", "published_at": 1.5}}', b"1.5e9"],
    "cluster_nodes": [
        b"07c37d 127.0.0.1:30004@31004,host slave e7d1ee 0 1426238317239 4 connected\n",
        b"e7d1ee :30001@31001 myself,master - 0 0 1 connected 0-5\n67ed2d ::1:30002@31002 master - 0 1 2 connected\n",
    ],
    "replies": [
        b"$30\r\ncluster_state:ok\r\ncluster_size:3\r\n", b"*1\r\n*4\r\n:14\r\n:1309448221\r\n:15\r\n*0\r\n",
        b"*1\r\n*4\r\n$7\r\ncommand\r\n:1405067976\r\n:251\r\n:1001\r\n",
        b"*2\r\n$3\r\nget\r\n*4\r\n$5\r\ncalls\r\n:2\r\n$14\r\nhistogram_usec\r\n*4\r\n:1\r\n:1\r\n:2\r\n:2\r\n",
        b"*4\r\n$9\r\ndatabases\r\n$2\r\n16\r\n$26\r\nclient-output-buffer-limit\r\n$14\r\nnormal 0 0 0 x\r\n",
        b"$19\r\nid=3 omem=120 tot=1\r\n", b"*2\r\n$2\r\nid\r\n$3\r\n1.5\r\n",
        b"*2999999999\r\n", b"*1\r\n*2999999999\r\n", b"~2999999999\r\n", b">2999999999\r\n", b"%1999999999\r\n",
    ],
    "sentinel": [
        b"*1\r\n*8\r\n$4\r\nname\r\n$1\r\nm\r\n$2\r\nip\r\n$1\r\nh\r\n$4\r\nport\r\n$1\r\n7\r\n$6\r\nquorum\r\n$1\r\n2\r\n",
        b"$61\r\nmaster0:name=m,status=ok,address=h:1,slaves=2,sentinels=3\r\nx:1\r\n",
    ],
    "redbeat": [
        b'{"task": "t", "schedule": {"__type__": "crontab", "minute": "*/5", "hour": "22-2", "day_of_week": "mon"}}',
        b'{"task": "t", "schedule": {"__type__": "interval", "every": 30}, "enabled": true}',
    ],
    "key_group": [
        b"celery-task-meta-5d2a1f0e-0000-4000-8000-000000000000", b"p:q\x06\x163", b"user:17:profile",
        b"a.reply.celery.pidbox",
    ],
    "headers": [b"application/openmetrics-text;version=1.0.0;q=0.5,*/*;q=0.1\ngzip;q=0.3, *\n10\nBasic YTpi"],
    "settings_file": [
        b"broker_url: rediss://u:p@h:1/2?ssl_cert_reqs=none\nbuckets: {celery_task_wait_seconds: [1, 2]}\n",
        b"redis: {servers: {cache: {url: 'sentinel://a;sentinel://b', master_name: m}}}\nweb: {listen_address: ':1'}\n",
    ],
    "environment": [b'BROKER_URL=redis://:secret@h/1\nNAMES__TASK__REWRITE={"a(.)": "$1"}\nSCRAPE__DEADLINE=1m30s'],
    "flags": [b"--broker-url\namqps://u:p@h//?ssl_ca_certs=x\n--redis.key-space.groups=a:*,b:*\n--no-events.exemplars"],
    "web_config": [
        b"tls_server_config: {cert_file: c, key_file: k, client_auth_type: NoClientCert}\n",
        b"basic_auth_users: {u: $2y$10$abcdefghijklmnopqrstuOabcdefghijklmnopqrstuvwxyz012345}\n",
    ],
    "state_file": [
        msgspec.msgpack.encode({
            "saved_at": 1.8e9, "broker": "b", "naming": "n", "pairs": [["t", "q", 1.8e9, []]], "past": [],
            "queues": [["q", 1.8e9, True]], "bounds": [[0.5, 1.0]],
            "workers": [["w@h", "online", 1.8e9, 7, 2.0, 0, 0, 0, [3, 1.8e9, 0, 1, 1, None, 0, 0, True], ""]],
            "scalars": {"celery_tasks_started_total": [[["t", "q"], 3, 1.8e9, None]]},
            "histograms": {"celery_task_prefetch_seconds": [[["t", "q"], 0, [1, 0, 2], 2.5, 1.8e9, 3.0]]},
        }),
    ],
    "labels": [b'a"b\\n\nc\\', "é\u2028\r\0\n{}=, # ".encode()],
    "fold": [bytes(range(256)), bytes([2, 0, 0, *range(5)] * 9)],
}  # fmt: skip
"""First inputs for targets without recorded ones."""


def write_seeds(target: str, folder: Path) -> Path:
    """Write the first inputs of a target into a folder, and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds_of(target)):
        (folder / f"seed-{number}").write_bytes(seed)
    return folder


def seeds_of(target: str) -> list[bytes]:
    """Return the first inputs of a target."""
    messages = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(FIXTURES.rglob("events/**/*.json"))]
    infos = [path.read_bytes() for path in sorted((FIXTURES / "redis").rglob("*")) if path.is_file()]
    match target:
        case "event_message" | "queues" | "control":
            raw = [message["raw_payload"].encode() for message in messages if "raw_payload" in message]
            return [*raw, *WRITTEN.get(target, [])]
        case "event_body":
            return [b"\0" + json.dumps(message["decoded_body"]).encode() for message in messages
                    if "decoded_body" in message]  # fmt: skip
        case "info":
            return infos
        case _:
            return WRITTEN[target]
