# SPDX-License-Identifier: Apache-2.0
"""Advise on a server: each piece of advice has a reason, and a command or setting that helps.

Input: facts. Output: advice. Pure functions. A rule is one function. RULES lists them in the order in which advice of
one severity is shown. A rule returns no advice if its facts are not known.
"""

from collections.abc import Callable, Iterator
from math import ceil
from typing import NamedTuple

from celery_redis_exporter.alerts.thresholds import threshold
from celery_redis_exporter.analysis.facts import DatabaseFacts, GroupFacts, ServerFacts
from celery_redis_exporter.catalog.server_fields import MODERN, read_version
from celery_redis_exporter.decode.key_groups import PIDBOX_REPLIES, TASK_META, TASKSET_META, UNACKED
from celery_redis_exporter.decode.redis_fields import read_whole, split_parts
from celery_redis_exporter.status.format import say_bytes

SEVERITIES = ("critical", "warning", "note")
KB, MB = 1024, 1024**2
MOST_REPLY_BINDINGS = 50
"""Clients that query workers at the same time. kombu removes the binding of each when it ends properly."""
BIG_MEAN, BIG_KEY = 10 * KB, MB
BIG_MESSAGE = 100 * KB
LONG_LASTING = 0.01
"""Ratio of result keys without a time to live above which it is not a coincidence."""
LONG_DAYS, MOST_DAYS = 7, 11_000
"""From this time to live, in days, results are kept for long. Celery's default is one day.

Values of more than 30 years are not valid.
"""
PUBSUB_HARD_LIMIT = 32 * MB
"""Redis's own default, which is enough for some hundred thousand events."""


class Advice(NamedTuple):
    """One piece of advice. ``subject`` is what it is about, ``cure`` a command or a setting.

    ``command`` is a shell line that does a part of the cure on the analyzed server. It is empty if there is none.
    """

    severity: str
    subject: str
    finding: str
    reason: str
    cure: str
    command: str = ""


def advise(facts: ServerFacts) -> list[Advice]:
    """Return all advice, the most severe first."""
    found = [advice for rule in RULES for advice in rule(facts)]
    return sorted(found, key=lambda advice: SEVERITIES.index(advice.severity))


def _eviction_policy(facts: ServerFacts) -> Iterator[Advice]:
    policy = facts.info.get("maxmemory_policy", "noeviction")
    if facts.is_broker and policy != "noeviction":
        yield Advice(
            "critical", "eviction", f"maxmemory-policy is {policy} on a broker",
            "at its memory limit Redis evicts keys, and here these are tasks, bindings and what is unacknowledged",
            "CONFIG SET maxmemory-policy noeviction",
        )  # fmt: skip
    evicted = facts.number("evicted_keys")
    if evicted:
        yield Advice(
            "critical" if facts.is_broker else "note", "eviction", f"{evicted:.0f} keys were evicted since the start",
            "the server had no memory left for them",
            "raise maxmemory, or shorten what is kept (result_expires)",
        )  # fmt: skip


def _memory_limit(facts: ServerFacts) -> Iterator[Advice]:
    limit, used = facts.number("maxmemory"), facts.number("used_memory")
    if not limit:
        system = facts.number("total_system_memory")
        size = f"{int(system * 0.75) // MB}mb" if system else "<size>"  # a quarter is for forks and buffers
        yield Advice(
            "warning", "maxmemory", "maxmemory is not set",
            "without a limit Redis grows until the system ends it, which loses what is not on disk",
            f"CONFIG SET maxmemory {size}, and the same in redis.conf",
        )  # fmt: skip
    elif facts.refuses_writes:
        yield Advice(
            "critical", "maxmemory",
            f"{'publishing is' if facts.is_broker else 'writes are'} refused now: {say_bytes(used)} are used, maxmemory"
            f" is {say_bytes(limit)}, and maxmemory-policy is noeviction",
            "over the limit Redis answers every command that may need memory with an error (OOM)", _more_memory(facts),
        )  # fmt: skip
    elif used > threshold("RedisMemoryHigh", "ratio") * limit and not facts.is_cache:
        yield Advice(
            "critical" if used > threshold("RedisMemoryCritical", "ratio") * limit else "warning", "maxmemory",
            f"{used / limit:.0%} of maxmemory is used ({say_bytes(used)} of {say_bytes(limit)})",
            "at the limit no task can be published" if facts.is_broker else "at the limit writes fail or keys go",
            _more_memory(facts),
        )  # fmt: skip


def _more_memory(facts: ServerFacts) -> str:
    """Return the cure for a reached limit: 1.5 times the limit or the used memory, whichever is more."""
    size = 1.5 * max(facts.number("maxmemory"), facts.number("used_memory"))
    return f"CONFIG SET maxmemory {ceil(size / MB)}mb, or remove what the table shows at the top"


def _results_without_ttl(facts: ServerFacts) -> Iterator[Advice]:
    for database, group in _groups(facts, TASK_META, TASKSET_META):
        if group.without_ttl is not None and group.without_ttl > LONG_LASTING:
            lasting = round(group.keys * group.without_ttl)
            only_those = ["NX"] if read_version(facts.info) >= MODERN else []
            yield Advice(
                "warning", f"db{database.db} {group.group}",
                f"{lasting} result keys ({group.without_ttl:.0%}) have no time to live",
                "they stay until somebody deletes them, and memory only grows",
                "result_expires = 86400 in Celery's settings (None or 0 keeps results for ever). For the results that"
                f" are there, run the command below{_password(facts)}",
                facts.cli.for_each_key(database.db, f"*{group.group}-*", "EXPIRE", "{}", "86400", *only_those)
                if facts.cli else "",
            )  # fmt: skip


def _results_kept_long(facts: ServerFacts) -> Iterator[Advice]:
    for database, group in _groups(facts, TASK_META):
        parts = split_parts(facts.info.get(f"db{database.db}", ""))
        days = (read_whole(parts.get("avg_ttl", "")) or 0) / 86_400_000
        if LONG_DAYS < days < MOST_DAYS and group.keys > database.total / 2:
            yield Advice(
                "note", f"db{database.db} {group.group}",
                f"results live for {days:.0f} days more in the mean",
                "each takes memory until then, long after whoever wanted it has read it",
                "result_expires = 86400 in Celery's settings, for results to come",
            )  # fmt: skip


def _big_results(facts: ServerFacts) -> Iterator[Advice]:
    for database, group in _groups(facts, TASK_META):
        biggest = group.largest[0] if group.largest else None
        if (group.mean or 0) > BIG_MEAN or (biggest is not None and biggest.bytes > BIG_KEY):
            top = f", the largest {say_bytes(biggest.bytes)} ({biggest.name})" if biggest else ""
            yield Advice(
                "warning", f"db{database.db} {group.group}",
                f"results have {say_bytes(group.mean or 0)} in the mean{top}",
                "each is written by a worker, and read by polling or pushed to whoever waits",
                "ignore_result=True where no one reads them; store large data elsewhere and return where it is;"
                " result_compression = 'gzip'",
            )  # fmt: skip


def _big_messages(facts: ServerFacts) -> Iterator[Advice]:
    for database in facts.databases:
        for group in database.groups:
            waiting = facts.queues.get(group.group, 0)
            if waiting and group.bytes is not None and group.bytes / waiting > BIG_MESSAGE:
                yield Advice(
                    "warning", f"db{database.db} {group.group}",
                    f"messages have {say_bytes(group.bytes / waiting)} in the mean",
                    "each is copied to the worker and kept a second time until it is acknowledged",
                    "pass references instead of data as arguments; task_compression = 'gzip'",
                )  # fmt: skip


def _orphan_replies(facts: ServerFacts) -> Iterator[Advice]:
    for database, group in _groups(facts, PIDBOX_REPLIES):
        orphans = round(group.keys * (group.without_ttl if group.without_ttl is not None else 1.0))
        if orphans:
            yield Advice(
                "warning", f"db{database.db} {group.group}",
                f"{orphans} lists of replies to inspect commands ({say_bytes(group.bytes or 0)}) that no one reads",
                "a client that asked workers ended before they all answered; answers that come later stay",
                f"run the command below{_password(facts)}, and give inspect a longer timeout",
                facts.cli.for_each_key(database.db, PIDBOX_REPLIES, "UNLINK") if facts.cli else "",
            )  # fmt: skip


def _stale_bindings(facts: ServerFacts) -> Iterator[Advice]:
    for database in facts.databases:
        if database.reply_bindings > MOST_REPLY_BINDINGS:
            yield Advice(
                "warning", f"db{database.db} {database.reply_bindings_key}",
                f"{database.reply_bindings} reply queues are bound",
                "clients that asked workers and were killed left theirs; each answer looks through all of them",
                f"run the command below when no inspect command runs{_password(facts)}. kombu creates the key again",
                facts.cli.line(database.db, "UNLINK", database.reply_bindings_key) if facts.cli else "",
            )  # fmt: skip


def _fragmentation(facts: ServerFacts) -> Iterator[Advice]:
    ratio, used = facts.number("mem_fragmentation_ratio"), facts.number("used_memory")
    limit, least = (threshold("RedisFragmentationHigh", parameter) for parameter in ("ratio", "least_bytes"))
    if ratio > limit and used > least:
        wasted = facts.number("used_memory_rss") - used
        jemalloc = facts.info.get("mem_allocator", "").startswith("jemalloc")
        yield Advice(
            "warning", "fragmentation", f"{ratio:.2f} times the memory used is occupied ({say_bytes(wasted)} more)",
            "the allocator holds pages with gaps in them",
            "MEMORY PURGE now" + (", CONFIG SET activedefrag yes for good" if jemalloc else ""),
        )  # fmt: skip


def _persistence(facts: ServerFacts) -> Iterator[Advice]:
    if not facts.is_broker or facts.config is None or "save" not in facts.config:
        return
    if facts.info.get("aof_enabled") == "0" and not facts.config["save"]:
        yield Advice(
            "warning", "persistence", "neither an append-only file nor dumps are written",
            "a restart of Redis loses every waiting and unacknowledged task",
            "CONFIG SET appendonly yes, and the same in redis.conf",
        )  # fmt: skip


def _failed_saves(facts: ServerFacts) -> Iterator[Advice]:
    """Advise on saves that failed. Redis refuses writes as ``writeCommandsDeniedByDiskError`` in server.c states."""
    look = "look into Redis's log; most often the disk is full, or overcommit_memory is not 1"
    refusal = f"{'no task can be published' if facts.is_broker else 'every write fails'} until it can save again"
    if facts.info.get("rdb_last_bgsave_status") == "err":
        config = facts.config or {}
        known, stops = "save" in config, config.get("stop-writes-on-bgsave-error")
        refuses = not (stops == "no" or (known and not config["save"]))
        certain = known and stops == "yes"
        effect = "" if not refuses else f", and writes {'are' if certain else 'may be'} refused"
        yield Advice(
            "critical", "persistence", f"the last dump failed{effect}",
            f"Redis refuses writes while it can't save (stop-writes-on-bgsave-error): {refusal}" if refuses
            else "what was written since the last successful dump is lost at a restart",
            f"{look}. Then run BGSAVE",
        )  # fmt: skip
    if facts.info.get("aof_last_write_status") == "err" and facts.info.get("aof_enabled") == "1":
        yield Advice(
            "critical", "persistence", "the last write to the append-only file failed, and writes are refused",
            f"Redis refuses writes while it can't append them to its file: {refusal}", look,
        )  # fmt: skip
    if facts.info.get("aof_last_bgrewrite_status") == "err":
        yield Advice(
            "critical", "persistence", "the last rewrite of the append-only file failed",
            "the file grows until the disk is full, and then writes are refused", f"{look}. Then run BGREWRITEAOF",
        )  # fmt: skip


def _output_buffers(facts: ServerFacts) -> Iterator[Advice]:
    cut = facts.number("client_output_buffer_limit_disconnections")
    limits = (facts.config or {}).get("client-output-buffer-limit", "")
    words = limits.split()
    pubsub = words.index("pubsub") if "pubsub" in words[:-1] else None
    hard = None if pubsub is None else read_whole(words[pubsub + 1])
    if cut:
        yield Advice(
            "warning", "client-output-buffer-limit", f"{cut:.0f} clients were cut off because they read too slowly",
            "for those who listen to Celery's events, everything in their buffer was lost",
            f'CONFIG SET client-output-buffer-limit "pubsub {4 * (hard or PUBSUB_HARD_LIMIT)}'
            f' {hard or PUBSUB_HARD_LIMIT} 60"',
        )  # fmt: skip
    elif hard is not None and 0 < hard < PUBSUB_HARD_LIMIT:
        yield Advice(
            "note", "client-output-buffer-limit", f"subscribers are cut off when {say_bytes(hard)} wait for them",
            "a burst of Celery's events may be more than that",
            f'CONFIG SET client-output-buffer-limit "pubsub {PUBSUB_HARD_LIMIT} {PUBSUB_HARD_LIMIT // 4} 60"',
        )  # fmt: skip
    elif hard == 0:
        yield Advice(
            "note", "client-output-buffer-limit", "subscribers have no limit",
            "one that does not read makes Redis grow until its memory is full",
            f'CONFIG SET client-output-buffer-limit "pubsub {8 * PUBSUB_HARD_LIMIT} {2 * PUBSUB_HARD_LIMIT} 60"',
        )  # fmt: skip


def _unacknowledged(facts: ServerFacts) -> Iterator[Advice]:
    for database, group in _groups(facts, UNACKED):
        share = (group.bytes or 0) / database.bytes if database.bytes else 0
        if share > 0.5 and (group.bytes or 0) > 10 * MB:
            yield Advice(
                "note", f"db{database.db} {group.group}",
                f"{say_bytes(group.bytes or 0)}, {share:.0%} of the database, are messages that workers hold",
                "prefetched tasks wait in workers where others can't take them",
                "worker_prefetch_multiplier = 1 for long tasks",
            )  # fmt: skip


def _password(facts: ServerFacts) -> str:
    """Return where redis-cli reads the password from, if it needs one. The password is never printed."""
    needed = facts.cli is not None and facts.cli.has_password
    return ", with the password in the environment variable REDISCLI_AUTH" if needed else ""


def _groups(facts: ServerFacts, *names: str) -> Iterator[tuple[DatabaseFacts, GroupFacts]]:
    for database in facts.databases:
        for name in names:
            group = database.group(name)
            if group is not None:
                yield database, group


RULES: tuple[Callable[[ServerFacts], Iterator[Advice]], ...] = (
    _eviction_policy, _memory_limit, _persistence, _failed_saves, _results_without_ttl, _results_kept_long,
    _big_results, _big_messages, _orphan_replies, _stale_bindings, _fragmentation, _output_buffers, _unacknowledged,
)  # fmt: skip
