# SPDX-License-Identifier: Apache-2.0
"""Read one server completely: the keys of its databases, all or a limited number, and what it reports about itself.

Connects sources.queues and sources.key_space -> decode -> state.key_groups -> facts. Sends INFO and CONFIG GET, CLUSTER
NODES in cluster mode, SCAN for queues, LLEN and SCARD, then per batch of names MEMORY USAGE and PTTL for each, and TYPE
for a few of each group. Reads only, and pauses between batches so that the server keeps most of its time. Raises
SourceError.
"""

import math
import re
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from celery_redis_exporter.analysis.facts import BigKey, DatabaseFacts, GroupFacts, ServerFacts
from celery_redis_exporter.analysis.redis_cli import redis_cli_of
from celery_redis_exporter.brokers.endpoints import Endpoints
from celery_redis_exporter.brokers.redis_broker import queue_keys
from celery_redis_exporter.clock import Clock
from celery_redis_exporter.daemon.key_spaces import key_names
from celery_redis_exporter.decode.cluster import decode_cluster_masters
from celery_redis_exporter.decode.key_groups import TASK_META, TASKSET_META, KeyClassifier, show, single_keys
from celery_redis_exporter.decode.queues import decode_binding
from celery_redis_exporter.decode.redis_fields import read_keys, read_whole
from celery_redis_exporter.decode.redis_server import parse_info
from celery_redis_exporter.errors import DecodeError, SourceError
from celery_redis_exporter.records.replies import Address, BoundMember
from celery_redis_exporter.settings import RedisTarget, Settings
from celery_redis_exporter.sources.cluster import read_nodes
from celery_redis_exporter.sources.key_space import MOST_MEASURED, Batch, KeySpaceReader, Walk
from celery_redis_exporter.sources.queues import QueueScan
from celery_redis_exporter.sources.refusals import Refusal
from celery_redis_exporter.sources.session import Session
from celery_redis_exporter.state.key_groups import KeyGroups
from celery_redis_exporter.state.key_tallies import Estimate, KeyReading, bound, fold_rest

DEADLINE = 10.0
"""Seconds that a reply may take. It may be long, because no scrape waits for it."""
PARAMETERS = ("save", "stop-writes-on-bgsave-error", "client-output-buffer-limit")
TRACKED = 4
"""Groups that are counted for each one that is shown, because the largest ones are known only at the end."""
TYPED = 5
"""Keys of each group whose type is read."""
_NO_DATABASE = re.compile(r"index (?:is )?out of range", re.IGNORECASE)
MOST_QUEUE_BATCHES = 100_000

Progress = Callable[[int, int, int], None]
"""Receives the database, the number of keys that were read, and the number of all keys."""


@dataclass(frozen=True, slots=True)
class SurveyOptions:
    """How much is read: ``max_keys`` of each database (0 for all), in ``duty`` of the server's time (0 to 1).

    ``groups`` is the number of groups that are shown of each database, ``largest`` that of the largest keys of each.
    ``databases`` are those to read; if empty, all that contain keys.
    """

    max_keys: int = 0
    duty: float = 0.25
    groups: int = 30
    largest: int = 5
    databases: tuple[int, ...] = ()


class Survey:
    """Analyzes servers of the settings."""

    def __init__(self, settings: Settings, clock: Clock, options: SurveyOptions, stop: threading.Event) -> None:
        self._settings = settings
        self._clock = clock
        self._options = options
        self._stop = stop
        self._endpoints = Endpoints(settings, clock)

    def read(self, target: RedisTarget, progress: Progress) -> Iterator[ServerFacts]:
        """Yield the facts about a server, or about each master of its cluster. Raises SourceError."""
        finder = self._endpoints.finders.get(target.name)
        address = None if finder is None else finder.locate()
        nodes = self._masters(target)
        for node in nodes or (None,):
            yield self._read_one(target, progress, node, node or address)

    def _masters(self, target: RedisTarget) -> list[Address]:
        """Return the masters of a server's cluster: only the server if they are unknown, none outside of a cluster."""
        host, port = target.server_key
        seed = Address(host if port else "localhost", port)  # without a port it is the path of a socket
        session = self._session(target, None, None)
        try:
            text = read_nodes(session, DEADLINE)
            found = [] if text is None else decode_cluster_masters(text, seed)
        except DecodeError as error:
            raise SourceError("protocol", str(error)) from None
        except SourceError as error:
            if error.reason != "noperm" or not port:
                raise
            return [seed] if error.args[0].startswith("CLUSTER") else []
        finally:
            session.close()
        for address in found:
            self._endpoints.addresses.check(address.host, [seed.host])
        return found

    def _read_one(
        self, target: RedisTarget, progress: Progress, node: Address | None, address: tuple[str, int] | None
    ) -> ServerFacts:
        session = self._session(target, None, node)
        try:
            info, config = _read_server(session)
        finally:
            session.close()
        totals = _totals(info)
        used = read_whole(info.get("used_memory", "")) or math.inf
        databases, queues, missing = list[DatabaseFacts](), Counter[str](), list[int]()
        for db in self._options.databases or sorted(totals):
            left = used - sum(database.bytes for database in databases)
            found = _Database(self._session(target, db, node), self._settings, self._clock, self._options, left)
            try:
                databases.append(found.read(db, totals.get(db, 0), self._stop, progress, in_cluster=node is not None))
            except SourceError as error:
                if not _NO_DATABASE.search(str(error)):
                    raise
                missing.append(db)
            finally:
                found.session.close()
            queues.update(found.queues)
        cli = redis_cli_of(target, self._settings.secrets, address)
        shown = "" if node is None else str(node)
        results = any(database.group(name) for database in databases for name in (TASK_META, TASKSET_META))
        return ServerFacts(
            target.redacted, info, config, tuple(databases), queues, cli, shown, tuple(missing), keeps_results=results
        )  # fmt: skip

    def _session(self, target: RedisTarget, db: int | None, node: Address | None) -> Session:
        if node is not None:
            return self._endpoints.session_at(target, node, timeout=DEADLINE, db=db)
        return Session(self._endpoints.to(target, timeout=DEADLINE, db=db), self._clock)


class _Database:
    """One database that is being read. Its keys take at most ``used`` bytes."""

    def __init__(self, session: Session, settings: Settings, clock: Clock, options: SurveyOptions, used: float) -> None:
        self.session = session
        self._used = used
        self.queues: dict[str, int] = {}
        self._reply_bindings = 0
        self._settings = settings
        self._options = options
        self._keys = queue_keys(settings)
        self._reply_bindings_key = self._keys.binding_of("reply.celery.pidbox")
        self._reader = KeySpaceReader(session, clock, DEADLINE, select=False)
        self._groups = KeyGroups(options.groups * TRACKED, options.largest)
        self._types: dict[str, Counter[str]] = defaultdict(Counter)

    def read(
        self, db: int, total: int, stop: threading.Event, progress: Progress, *, in_cluster: bool
    ) -> DatabaseFacts:
        """Return the facts about the database. Raises SourceError."""
        if not in_cluster:  # Celery can't use a cluster, and its keys would be on other nodes
            self._find_queues(stop)
        names = key_names(self._settings, {queue: queue for queue in self.queues})
        classify = KeyClassifier(names.celery, names.patterns).classify
        walk, looked_at, complete = Walk(db), 0, False
        while not complete and not stop.is_set():
            batch = self._reader.next_batch(walk, total, [])
            looked_at += len(batch.names)
            busy = batch.busy + self._measure(db, batch, classify)
            complete = batch.complete or 0 < self._options.max_keys <= looked_at
            if batch.complete:
                self._groups.complete()
            progress(db, looked_at, max(total, looked_at))
            stop.wait(busy * (1 / self._options.duty - 1))
        self._groups.refresh()
        total = looked_at if self._groups.swept else max(total, looked_at)
        shown = bound(fold_rest(self._groups.estimates(total), self._options.groups), self._used)
        groups = tuple(self._facts(estimate) for estimate in shown)
        return DatabaseFacts(db, total, looked_at, groups, self._reply_bindings, self._reply_bindings_key)

    def _measure(self, db: int, batch: Batch, classify: Callable[[bytes], str]) -> float:
        """Count and measure every name of a batch. Return the seconds that it took the server."""
        segment = self._groups.enter(batch.position)
        found: dict[str, list[bytes]] = defaultdict(list)
        for name in batch.names:
            found[classify(name)].append(name)
        folded = self._groups.fold(segment, found, single_keys(found, self._settings.redis.key_space.groups))
        keys = [(group, name) for group, names in folded.items() for name in names]
        spent = 0.0
        for start in range(0, len(keys), MOST_MEASURED):
            chunk = keys[start : start + MOST_MEASURED]
            measured, busy = self._reader.measure(db, [name for _, name in chunk])
            spent += busy
            for (group, name), key in zip(chunk, measured, strict=True):
                lasts = key.ttl == -1 if key.ttl is not None and key.ttl != -2 else None
                self._groups.measure(segment, KeyReading(group, name, key.size, lasts))
        return spent + self._ask_types(db, keys)

    def _ask_types(self, db: int, keys: list[tuple[str, bytes]]) -> float:
        asked = []
        for group, name in keys:
            if self._types[group].total() < TYPED:
                self._types[group][""] += 1
                asked.append((group, name))
        if not asked:
            return 0.0
        types, busy = self._reader.types(db, [name for _, name in asked])
        for (group, _), kind in zip(asked, types, strict=True):
            self._types[group][""] -= 1
            self._types[group][kind] += 1
        return busy

    def _find_queues(self, stop: threading.Event) -> None:
        scan = QueueScan(self.session, self._keys, DEADLINE)
        bindings: list[BoundMember] = []
        for _ in range(MOST_QUEUE_BATCHES):
            found = scan.next_batch()
            bindings += found.bindings
            if found.complete or stop.is_set():
                break
        queues = {queue for bound in bindings if (queue := self._queue(bound.member))} | set(
            self._settings.queues.names
        )
        commands = [command for queue in sorted(queues) for command in self._keys.length_commands(queue)]
        commands.append(("SCARD", self._reply_bindings_key))
        replies = iter(self.session.exchange(commands, DEADLINE))
        steps = len(self._keys.priority_steps)
        for queue in sorted(queues):
            lengths = [next(replies) for _ in range(steps)]
            self.queues[queue] = sum(length for length in lengths if isinstance(length, int))
        last = next(replies)
        self._reply_bindings = last if isinstance(last, int) else 0

    def _queue(self, member: bytes) -> str | None:
        try:
            found = decode_binding(member, self._settings.event_exchange, self._keys.sep)
        except DecodeError:
            return None
        return None if found is None else found.queue

    def _facts(self, estimate: Estimate) -> GroupFacts:
        kinds = [kind for kind, count in self._types[estimate.group].items() if count and kind]
        return GroupFacts(
            group=estimate.group,
            type="/".join(sorted(kinds)) or None,
            keys=round(estimate.keys),
            keys_error=estimate.keys_error,
            bytes=None if estimate.memory is None else round(estimate.memory),
            bytes_error=estimate.memory_error,
            without_ttl=estimate.without_ttl,
            largest=tuple(BigKey(show(name), size) for size, name in estimate.largest),
        )


def _read_server(session: Session) -> tuple[dict[str, str], dict[str, str] | None]:
    info, *parameters = session.exchange([("INFO", "ALL"), *(("CONFIG", "GET", name) for name in PARAMETERS)], DEADLINE)
    if isinstance(info, Refusal):
        raise info.as_error("INFO")
    if not isinstance(info, bytes):
        raise SourceError("protocol", "INFO: an answer that is no text")
    config: dict[str, str] = {}
    for reply in parameters:
        if not isinstance(reply, list):
            return parse_info(info), None
        words = [str(word, "utf-8", "replace") for word in reply]
        config |= dict(zip(words[::2], words[1::2], strict=False))
    return parse_info(info), config


def _totals(info: Mapping[str, str]) -> dict[int, int]:
    """Return the number of keys by database, from lines such as ``db0:keys=3,expires=1``."""
    found = {}
    for name, value in info.items():
        db, keys = read_whole(name.removeprefix("db")), read_keys(value)
        if name.startswith("db") and db is not None and keys is not None:
            found[db] = keys
    return found
