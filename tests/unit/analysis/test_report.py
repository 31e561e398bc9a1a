# SPDX-License-Identifier: Apache-2.0
"""A report in the forms for people and for programs."""

import json
from dataclasses import replace

from celery_redis_exporter.analysis.advice import Advice
from celery_redis_exporter.analysis.facts import BigKey, DatabaseFacts, GroupFacts, ServerFacts
from celery_redis_exporter.analysis.report import describe_report, render_report

MB = 2**20
INFO = {
    "redis_version": "7.0.15", "redis_mode": "standalone", "role": "master", "uptime_in_days": "3",
    "used_memory": f"{60 * MB}", "maxmemory": f"{80 * MB}", "mem_fragmentation_ratio": "1.02",
}  # fmt: skip
GROUPS = (
    GroupFacts("celery-task-meta", "string", 9000, 0, 40 * MB, 0.031, 0.25, (BigKey("celery-task-meta-7", 3 * MB),)),
    GroupFacts("a" * 90, None, 1000, 0.021, None, None, None, ()),
)
FACTS = ServerFacts("redis://h:6379/0", INFO, {}, (DatabaseFacts(0, 10_000, 5000, GROUPS),), {"celery": 2})
ADVICE = [Advice("warning", "maxmemory", "is nearly reached", "because of that", "CONFIG SET maxmemory 120mb")]


def test_report() -> None:
    """The report shows known values in tables, estimates with their error, and unknown values as unknown."""
    assert (
        render_report(FACTS, ADVICE, width=80, shown=3)
        == """\
redis://h:6379/0: Redis 7.0.15, standalone, master, up 3 days
memory 60 MiB of 80 MiB [###############.....] 75%, fragmentation 1.02

db0: 10,000 keys, 40 MiB; 5,000 looked at
group                    type         keys       bytes   share      mean  no ttl
celery-task-meta         string      9,000  40 MiB ±3%  100.0%  4.55 KiB     25%
aaaaaaaaaaaaaaaaaaaa...  ?       1,000 ±2%           ?       ?         ?       ?

largest keys
   3 MiB  db0  celery-task-meta-7

advice
WARNING   maxmemory: is nearly reached
          why: because of that
          do:  CONFIG SET maxmemory 120mb
"""
    )


def test_a_command_has_a_line_of_its_own() -> None:
    """A command of any length is printed whole on a separate line, so that it can be pasted."""
    advice = [ADVICE[0]._replace(command="redis-cli " + "x " * 60 + "end")]
    assert f"\n          run: {advice[0].command}\n" in render_report(FACTS, advice, width=60, shown=3)


def test_no_advice_is_said_too() -> None:
    """A report without advice states that, because an empty section could look like an error."""
    assert "advice: none" in render_report(FACTS, [], width=80, shown=3)


def test_json() -> None:
    """JSON contains the same, with plain numbers."""
    tree = json.loads(json.dumps(describe_report(FACTS, ADVICE)))
    assert tree["server"]["redis_version"] == "7.0.15"
    (database,) = tree["databases"]
    assert (10_000, 5000) == (database["keys"], database["keys_looked_at"])
    first, second = database["groups"]
    assert {"name": "celery-task-meta-7", "bytes": 3 * MB} == first["largest"][0]
    assert (1.0, 40 * MB / 9000, None) == (first["share"], first["mean_bytes"], second["bytes"])
    assert ADVICE[0]._asdict() == tree["advice"][0]


def test_valkey_is_called_so() -> None:
    """Product, version and mode are those of Valkey."""
    info = {"server_name": "valkey", "valkey_version": "8.1.3", "redis_mode": "cluster"}
    facts = replace(FACTS, info=INFO | info)
    assert ": Valkey 8.1.3, cluster, master," in render_report(facts, [], width=80, shown=3)
    described = describe_report(facts, [])["server"]
    assert ("Valkey", "8.1.3", "cluster") == tuple(described[name] for name in ("product", "version", "redis_mode"))
