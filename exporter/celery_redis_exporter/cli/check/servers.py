# SPDX-License-Identifier: Apache-2.0
"""Check whether the servers answer, and which commands they refuse.

Input: a checkup. Output: findings server by server. Each server receives the commands of a scrape and of the background
loops, and PING.
"""

import shlex
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from celery_redis_exporter.brokers.redis_broker import RedisBroker, queue_keys
from celery_redis_exporter.catalog.queues import QUEUE_LENGTH
from celery_redis_exporter.catalog.redis_cluster import CLUSTER_STATE
from celery_redis_exporter.catalog.sentinel import CKQUORUM_STATUS
from celery_redis_exporter.catalog.server_fields import MODERN, mode_of, read_version
from celery_redis_exporter.cli.check import rows
from celery_redis_exporter.cli.check.checkup import Checkup
from celery_redis_exporter.cli.check.finding import Finding
from celery_redis_exporter.cli.check.place import Place
from celery_redis_exporter.cli.check.reasons import unusable
from celery_redis_exporter.cli.check.rights import right_findings
from celery_redis_exporter.cli.check.server_state import FLAGS, state_findings
from celery_redis_exporter.cli.check.workers import name_some
from celery_redis_exporter.decode.redis_server import decode_config, parse_info
from celery_redis_exporter.errors import SourceError
from celery_redis_exporter.records.samples import Sample
from celery_redis_exporter.scrape.redis_server import ServerScrape
from celery_redis_exporter.settings import KombuTarget, RedisTarget
from celery_redis_exporter.sources.redis_server import PING
from celery_redis_exporter.sources.refusals import Refusal
from celery_redis_exporter.sources.session import Session
from celery_redis_exporter.sources.wire import Command
from celery_redis_exporter.status.health import SENTINEL

CONFIG = ("client-output-buffer-limit", "save", "stop-writes-on-bgsave-error")
PINGS = 5
SLOW = 0.05
"""Seconds of a PING above which scrapes and events are late."""


def server_findings(checkup: Checkup) -> Iterator[Finding]:
    """Yield the findings about every server of the settings, and about sentinels."""
    if isinstance(checkup.settings.broker, KombuTarget):
        yield from _broker_findings(checkup)
    for scrape in checkup.targets:
        if checkup.stop.is_set():
            return
        if isinstance(scrape, ServerScrape):
            yield from _redis_findings(checkup, scrape)


def _broker_findings(checkup: Checkup) -> Iterator[Finding]:
    """Query a broker other than Redis for the queues of the settings."""
    place = checkup.place("broker")
    try:
        samples = checkup.broker_target.read(checkup.settings.scrape.deadline)
    except SourceError as error:
        checkup.stated.add(error.reason)
        yield unusable("broker", place, error)
        return
    there = {sample.labels[0] for sample in samples if sample.metric is QUEUE_LENGTH}
    denials, named = checkup.broker_target.denied, checkup.settings.queues.names
    refused = {queue for denial in denials for queue in denial.queues}
    known = [name for name in named if name not in refused]
    absent = [name for name in known if checkup.application.queues.shown(name) not in there]
    queues = f"; {len(known) - len(absent)} of {len(named)} queues of the settings are there" if named else ""
    yield rows.BROKER_ANSWERS.found("broker", f"{place.shown} answers{queues}")
    if absent:
        lines = ["rabbitmqctl list_queues name messages consumers"] if place.port else []
        yield rows.BROKER_QUEUE_ABSENT.found("broker", f"not there: {', '.join(absent)}", *lines)
    for denial in denials:
        text = f"{denial.command} is refused for {name_some(denial.queues)}; empty: celery_queue_length and"
        line = denial.cure.replace("<user>", shlex.quote(place.user))
        yield rows.BROKER_QUEUE_DENIED.found("broker", f"{text} celery_queue_consumers of these", line)


def _redis_findings(checkup: Checkup, scrape: ServerScrape) -> Iterator[Finding]:
    """Check one server, or all nodes of its cluster."""
    settings, subject = checkup.settings, f"redis {scrape.name}"
    session, deadline = scrape.server.session, settings.scrape.deadline
    base = None if SENTINEL in scrape.name else scrape.name.partition("/")[0]
    target = next((target for target in settings.redis_targets if target.name == base), None)
    try:
        scrape.read(deadline)  # a sentinel reports the names of its masters first
        samples = scrape.read(deadline)
        replies = session.ask([("INFO",), *_config(target), *_commands(checkup, target)], deadline)
        seconds = _fastest_ping(checkup, session) if target is not None else 0.0
        in_cluster = bool(scrape.server.in_cluster)
        nodes = _find_nodes(checkup, scrape) if in_cluster and base == scrape.name else []
    except SourceError as error:
        if scrape.name == checkup.settings.broker.name:
            checkup.stated.add(error.reason)
        yield unusable(subject, checkup.place(scrape.name), error)
        return
    finally:
        scrape.close()
    info, *others = replies
    if isinstance(info, bytes) and read_version(parse_info(info)) < MODERN:
        checkup.old.add(scrape.name)
    place = checkup.place(scrape.name)
    if nodes:
        yield rows.CLUSTER_FOUND.found(subject, f"{place.shown} is a node of a cluster of {len(nodes)}")
    if in_cluster and scrape.name in FLAGS:
        yield unusable(subject, place, SourceError("moved", "the server is in cluster mode"))
    elif not nodes:
        yield from _answer_findings(subject, place, scrape.name, replies, in_cluster=in_cluster)
    if scrape.name in FLAGS and isinstance(info, bytes) and mode_of(info) == "sentinel":
        return  # It has no command for keys, which is not a matter of permissions.
    if seconds > SLOW:
        lines = place.command("--latency"), place.command("SLOWLOG", "GET", "10")
        yield rows.SLOW.found(subject, f"the fastest of {PINGS} PINGs took {1000 * seconds:.0f} ms", *lines)
    yield from _sample_findings(subject, place, samples)
    yield from _refused_findings(checkup, scrape.name)
    yield from right_findings(subject, place, session.refused, others)
    for node in nodes:
        yield from _redis_findings(checkup, node)


def _find_nodes(checkup: Checkup, seed: ServerScrape) -> list[ServerScrape]:
    """Return the nodes of the seed's cluster, or none if they are not looked for or CLUSTER NODES is refused."""
    with suppress(SourceError):
        checkup.monitor.servers.cluster_nodes.look()
    targets = checkup.targets
    return [node for node in targets if isinstance(node, ServerScrape) and node.name.startswith(f"{seed.name}/")]


def _refused_findings(checkup: Checkup, name: str) -> Iterator[Finding]:
    refused = checkup.monitor.servers.cluster_nodes.refused(name)
    if refused:
        line = f"--redis.allowed-addresses={','.join(sorted({address.rpartition(':')[0] for address in refused}))}"
        yield rows.NODES_REFUSED.found(f"redis {name}", f"not connected to: {name_some(refused)}", line)


def _answer_findings(
    subject: str, place: Place, name: str, replies: Sequence[Any], *, in_cluster: bool
) -> Iterator[Finding]:
    info, *others = replies
    troubles = [reply for reply in replies if isinstance(reply, Refusal) and reply.is_of_server]
    # The keys that are read to test permissions may be on another node, which is not a problem.
    trouble = next((reply for reply in troubles if not (in_cluster and reply.reason == "moved")), None)
    if trouble is not None:
        yield unusable(subject, place, SourceError(trouble.reason, str(trouble)))
    elif isinstance(info, bytes):
        config = {} if SENTINEL in name else decode_config(others[: len(CONFIG)])
        yield from state_findings(name, place, parse_info(info), config)
    else:
        yield rows.INFO_DENIED.found(subject, f"{place.shown}: INFO is refused", place.grant("+info"))


def _config(target: RedisTarget | None) -> list[Command]:
    return [] if target is None else [("CONFIG", "GET", name) for name in CONFIG]


def _commands(checkup: Checkup, target: RedisTarget | None) -> list[Command]:
    """Return the commands that the background loops send to this server. ``target`` is None for a sentinel."""
    if target is None:
        return []
    queue, keys = next(iter(checkup.settings.queues.names), "celery"), queue_keys(checkup.settings)
    commands: list[Command] = [("SCAN", 0, "COUNT", 1)]
    if isinstance(checkup.broker, RedisBroker) and target.name == "broker":
        keys = checkup.broker.keys
        commands += [*keys.length_commands(queue)[:1], *keys.oldest_commands(queue, (0,))]
        commands += [("CLIENT", "ID"), ("CLIENT", "LIST", "ID", 1), ("SMEMBERS", keys.binding_of(queue))]
    if checkup.settings.redis.key_space.interval:
        commands += [("MEMORY", "USAGE", keys.binding_of(queue), "SAMPLES", 5), ("PTTL", keys.binding_of(queue))]
    return commands


def _fastest_ping(checkup: Checkup, session: Session) -> float:
    """Return the shortest time of several PINGs in seconds. A single one may be late by chance."""
    clock, times = checkup.clock, []
    for _ in range(PINGS):
        started = clock.monotonic()
        session.ask([PING], checkup.settings.scrape.deadline)
        times.append(clock.monotonic() - started)
    return min(times)


def _sample_findings(subject: str, place: Place, samples: Sequence[Sample]) -> Iterator[Finding]:
    """Report what a server's metrics say about its cluster, or about the masters of a sentinel."""
    for sample in samples:
        if sample.metric is CLUSTER_STATE and not sample.value:
            yield unusable(subject, place, SourceError("clusterdown", "its cluster_state is fail"))
        if sample.metric is CKQUORUM_STATUS and not sample.value:
            _, master, message = sample.labels
            yield rows.QUORUM.found(subject, f"{master}: {message}", place.command("SENTINEL", "CKQUORUM", master))
