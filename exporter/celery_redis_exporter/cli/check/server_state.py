# SPDX-License-Identifier: Apache-2.0
"""Report the state of a Redis server for an operator: version, role, memory, disk, buffers.

Input: INFO and some of CONFIG GET. Output: findings. Pure functions. The rules about memory, disk and buffers are those
of ``analysis.advice``; this module adds a code, and a line that can be pasted.
"""

import re
import shlex
from collections.abc import Iterator, Mapping

from celery_redis_exporter.analysis.advice import Advice, advise
from celery_redis_exporter.analysis.facts import ServerFacts
from celery_redis_exporter.catalog.server_fields import product_of, read_version
from celery_redis_exporter.cli.check import rows
from celery_redis_exporter.cli.check.finding import Finding, FindingRow
from celery_redis_exporter.cli.check.place import Place
from celery_redis_exporter.decode.redis_fields import split_parts
from celery_redis_exporter.status.health import SENTINEL

OLDEST = (6, 2)
FLAGS = {"broker": "--broker-url", "results": "--result-backend-url"}
"""Flags by the names of servers that Celery writes to. Any other server may be a replica."""
MASTER_FLAGS = {
    "broker": "--broker-transport-options.master-name",
    "results": "--result-backend-transport-options.master-name",
}
_MASTER = re.compile(r"master\d+")
"""Fields of a sentinel's INFO, one for each master."""
_COMMAND = re.compile(r"(?:CONFIG SET|MEMORY PURGE)(?: [\w-]+ (?:\"[^\"]*\"|[\w.]+))?(?=,| now|$)")
_ROWS: Mapping[str, FindingRow] = {
    "eviction": rows.EVICTION,
    "persistence": rows.PERSISTENCE,
    "client-output-buffer-limit": rows.BUFFERS,
    "fragmentation": rows.FRAGMENTED,
}


def state_findings(name: str, place: Place, info: Mapping[str, str], config: Mapping[str, str]) -> Iterator[Finding]:
    """Yield the findings about a server that answers. ``name`` is its name in the settings."""
    subject = f"redis {name}"
    version, role = info.get("redis_version", "?"), info.get("role") or info.get("redis_mode") or "?"
    if name in FLAGS and info.get("redis_mode") == "sentinel":
        yield _sentinel_finding(name, place, info)
        return
    yield rows.REDIS_ANSWERS.found(subject, f"{place.shown} answers: {product_of(info)}, {role}")
    if not re.match(r"\d+\.\d", version):
        yield rows.VERSION_UNKNOWN.found(subject, f"redis_version is {version}", place.command("INFO", "server"))
    elif read_version(info) < OLDEST:
        yield rows.VERSION_OLD.found(subject, f"Redis {version} is older than 6.2", place.command("INFO", "server"))
    if info.get("role") == "slave" and name in FLAGS:
        yield _replica_finding(name, place, info)
    if SENTINEL in name:  # it stores no data
        return
    queues = {"celery": 0} if name == "broker" else {}
    facts = ServerFacts(place.shown, info, config or None, (), queues, keeps_results=name == "results")
    for advice in advise(facts):
        row = _row(advice, facts)
        if row is not None:
            yield row.found(subject, advice.finding, _line(advice, place))._replace(cause=advice.reason)


def _replica_finding(name: str, place: Place, info: Mapping[str, str]) -> Finding:
    host, port = info.get("master_host", "?"), info.get("master_port", "?")
    row = rows.REPLICA if info.get("slave_read_only") == "0" else rows.READ_ONLY
    text = f"it is a replica of [{host}]:{port}" if ":" in host else f"it is a replica of {host}:{port}"
    if place.shown.startswith("sentinel://"):  # The settings are right: a failover is going on, or has failed.
        return row.found(f"redis {name}", text, place.command("INFO", "replication"))
    return row.found(f"redis {name}", text, f"{FLAGS[name]}={place.at(host, port)}")


def _sentinel_finding(name: str, place: Place, info: Mapping[str, str]) -> Finding:
    """Return the finding that a URL of Redis names a sentinel, with the flags that it should be."""
    masters = [split_parts(value).get("name", "") for field, value in info.items() if _MASTER.fullmatch(field)]
    master = masters[0] if len(masters) == 1 else "NAME"
    lines = [f"{FLAGS[name]}={place.with_scheme('sentinel')}", f"{MASTER_FLAGS[name]}={shlex.quote(master)}"]
    if len(masters) > 1:
        lines.append(f"{place.command('SENTINEL', 'MASTERS')}  # shows the names of its masters")
    return rows.SENTINEL.found(f"redis {name}", f"{place.shown} is a sentinel", *lines)


def _row(advice: Advice, facts: ServerFacts) -> FindingRow | None:
    if advice.subject == "maxmemory":
        full = rows.MEMORY_REFUSING if facts.refuses_writes else rows.MEMORY_FULL
        return full if facts.number("maxmemory") else rows.MEMORY_UNLIMITED
    if advice.subject == "persistence" and advice.severity == "critical":
        return rows.PERSISTENCE_FAILED
    return _ROWS.get(advice.subject)


def _line(advice: Advice, place: Place) -> str:
    """Return the command that fixes a problem as a shell line, or the advice as text if there is none."""
    found = _COMMAND.match(advice.cure)
    if found is None:
        return advice.cure
    words = re.findall(r'"[^"]*"|\S+', found[0])
    return place.command(*(word.strip('"') for word in words))
