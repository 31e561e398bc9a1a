# SPDX-License-Identifier: Apache-2.0
"""Queues that are forgotten, queues that are kept, and queues that return."""

import re
import threading
from typing import cast

import pytest

from celery_redis_exporter.brokers.queue_reads import QueuesRead
from celery_redis_exporter.catalog import internals
from celery_redis_exporter.catalog import queues as rows
from celery_redis_exporter.catalog import tasks as task_rows
from celery_redis_exporter.collectors.queue_discovery import BindingRules, QueueDiscovery
from celery_redis_exporter.records.events import TaskSent, WorkerHeartbeat
from celery_redis_exporter.records.replies import FANOUT, BoundMember, QueueCount, QueuedMessage, QueueReading, Route
from celery_redis_exporter.sources.queues import QueueScan, ScanBatch
from celery_redis_exporter.state.consumers import Consumers
from celery_redis_exporter.state.queues import BROADCAST_SECONDS, Queues
from celery_redis_exporter.state.rules import NameRules, Naming, Rewrite
from tests.support.lab import W1, Lab
from tests.support.options import queue_keys, task_limits, worker_limits
from tests.support.sizes import scaled

TTL = 3600.0
DAY = 86_400.0


class Site(Lab):
    """A state with at most ``limit`` queues; ``named`` are those of the settings."""

    def __init__(self, *named: str, limit: int = 3, naming: Naming | None = None) -> None:
        super().__init__(task_limits(idle=TTL, naming=naming or Naming()), worker_limits(lost_after=DAY))
        self.queues = Queues(self.tasks, named, limit, lambda: self.store.refuse(rows.QUEUE_LENGTH), TTL)
        self.consumers = Consumers(self.store, self.workers, self.queues, self.clock, 0)
        self.lengths: dict[str, int] = {}
        self.bound: set[str] = set()

    def wait(self, seconds: float = TTL + 120) -> None:
        """Pass time as the exporter does: a tick, a sweep, a search for bindings and a scrape each minute."""
        for _ in range(int(seconds // 60)):
            self.advance(60)
            self.consumers.refresh()
            self.tasks.sweep(self.clock.monotonic())
            self.search()
            self.scrape()

    def search(self) -> None:
        """Search for bindings once."""
        members = [BoundMember("", f"\x06\x16\x06\x16{queue}".encode()) for queue in sorted(self.bound)]
        stop = threading.Event()

        class Scan:
            def next_batch(self) -> ScanBatch:
                return ScanBatch(members, set(), complete=True)

        if self.bound or self.queues.known():
            scan, rules = cast("QueueScan", Scan()), BindingRules("celeryev")
            discovery = QueueDiscovery(scan, self.queues, self.store, self.clock, rules)
            discovery.run(stop, 0.0, 1000, stop.set)

    def scrape(self) -> set[str]:
        """Read every known queue; return the names of those that are shown."""
        readings = [
            QueueReading(queue, {0: self.lengths.get(queue, 0)}, {0: QueuedMessage(queue)})
            for queue in self.queues.names()
        ]
        samples = self.queues.fold_all(readings, self.clock.now())
        return {sample.labels[0] for sample in samples if sample.metric is rows.QUEUE_LENGTH}

    def tells(self, *queues: str) -> None:
        """Receive a heartbeat with the queues that the worker consumes."""
        beat = WorkerHeartbeat(W1, self.clock.epoch, 1, 2.0, 0, 0, queues=list(queues), concurrency=1)
        self.workers.fold_heartbeat(beat)
        self.advance(0)
        self.consumers.refresh()


def test_a_queue_that_nothing_is_heard_of_is_forgotten() -> None:
    """A queue without binding, consumer, message and event is removed after its TTL, one in the settings never."""
    site = Site("named")
    site.sent("a", 0, queue="gone")
    assert {"named", "gone"} == site.scrape()
    site.wait(TTL - 120)
    assert {"named", "gone"} == site.scrape()
    site.wait(300)
    assert {"named"} == site.scrape()
    site.wait(DAY)
    assert {"named"} == site.scrape()


@pytest.mark.parametrize("sign", ["binding", "consumer", "message", "event"])
def test_each_sign_of_life_keeps_a_queue(sign: str) -> None:
    """A binding, a consumer, a message or an event keeps a queue until one time to live later."""
    site = Site()
    site.queues.add(["kept"])

    def show(*, alive: bool) -> None:
        site.bound = {"kept"} if sign == "binding" and alive else set()
        site.lengths = {"kept": 1} if sign == "message" and alive else {}
        if sign == "consumer":
            site.tells(*(["kept"] if alive else []))
        if sign == "event" and alive:
            site.sent("a", 0, queue="kept")

    for _ in range(40):
        show(alive=True)
        site.wait(600)
    assert {"kept"} == site.scrape()
    show(alive=False)
    site.wait(TTL - 900)
    assert {"kept"} == site.scrape()
    site.wait(1200)
    assert set() == site.scrape()


def test_a_forgotten_queue_makes_room() -> None:
    """Queues over the limit count as dropped, and are shown once other queues are forgotten."""
    site = Site(limit=3)
    for number in range(4):
        site.sent(str(number), 0, queue=f"w{number}.dq2")
    assert {"w0.dq2", "w1.dq2", "w2.dq2"} == site.scrape()
    dropped = (internals.SERIES_DROPPED, rows.QUEUE_LENGTH.name)
    assert 1 == site.value(*dropped)
    site.wait()
    site.sent("later", site.clock.epoch - site.start, queue="w3.dq2")
    assert {"w3.dq2"} == site.scrape()
    assert 1 == site.value(*dropped)


@pytest.mark.parametrize("source", ["binding", "consumer"])
def test_certain_queues_take_the_place_of_names_from_events(source: str) -> None:
    """A queue with a binding or a consumer replaces one that only events name, which counts as dropped."""
    site = Site("named", limit=3)
    for number in range(2):
        site.sent(str(number), 0, queue=f"w{number}.dq2")
    assert {"named", "w0.dq2", "w1.dq2"} == site.scrape()
    site.lengths["mail"] = 70
    if source == "binding":
        site.bound = {"mail"}
        site.search()
    else:
        site.tells("mail")
    assert {"named", "w1.dq2", "mail"} == site.scrape()
    dropped = (internals.SERIES_DROPPED, rows.QUEUE_LENGTH.name)
    assert 1 == site.value(*dropped)
    site.wait(600)
    assert {"named", "w1.dq2", "mail"} == site.scrape()
    assert 1 == site.value(*dropped)


def test_certain_queues_keep_each_other_out() -> None:
    """If the limit is reached by queues that are certain to exist, a further one is refused."""
    site = Site("a", "b", limit=2)
    site.tells("c")
    assert {"a", "b"} == site.scrape()
    assert 1 == site.value(internals.SERIES_DROPPED, rows.QUEUE_LENGTH.name)


def test_the_limit_counts_shown_names() -> None:
    """Queues with one shown name count once towards the limit, and at most ten times the limit are known."""
    rules = NameRules(rewrites=[Rewrite(re.compile(r"tenant-.+"), "tenants")])
    site = Site(limit=2, naming=Naming(queue=rules))
    for number in range(30):
        site.sent(str(number), 0, queue=f"tenant-{number}")
    assert {"tenants"} == site.scrape()
    assert 20 == len(site.queues.known())
    site = Site(limit=2, naming=Naming(queue=rules))
    for number in range(15):
        site.sent(str(number), 0, queue=f"tenant-{number}")
    site.sent("mail", 0, queue="mail")
    assert {"tenants", "mail"} == site.scrape()
    assert site.value(internals.SERIES_DROPPED, rows.QUEUE_LENGTH.name) is None


def test_broadcast_queues_are_shown_under_their_exchange() -> None:
    """A thousand Broadcast queues in events and bindings have one name in metrics, and exclude no other queue."""
    site = Site(limit=100)
    for number in range(1100):
        uuid, queue = str(number), f"bcast.{number}"
        exchange = "news" if number % 2 else None
        site.tasks.fold_sent(TaskSent(uuid, site.start, "t", queue, exchange=exchange, routing_key=""))
    site.sent("mail", 0, queue="mail")
    site.lengths["mail"] = 70
    site.bound = {"mail", *(f"bcast.{number}" for number in range(1100))}
    site.search()
    assert {"news", "mail"} == site.scrape()
    sent = [site.value(task_rows.TASKS_SENT, "t", queue) for queue in ("news", "bcast.*", "mail")]
    assert [550, 550, 1] == sent
    assert site.value(internals.SERIES_DROPPED, rows.QUEUE_LENGTH.name) is None


def test_broadcast_queues_of_workers_are_folded_and_soon_forgotten() -> None:
    """Broadcast queues of workers are shown as one queue, and are forgotten an hour after their workers stopped."""
    site = Site()
    site.queues.routes.learn([Route("news", "", "bcast.1", FANOUT), Route("news", "", "bcast.2", FANOUT)])
    site.tells("bcast.1", "bcast.2", "mail")
    assert 1 == site.value(rows.QUEUE_CONSUMERS, "news")
    samples = site.queues.fold_counts([QueueCount("bcast.1", 2, 1), QueueCount("bcast.2", 3, 1)])
    found = {(sample.metric, sample.labels): sample.value for sample in samples}
    assert (5, 2) == (found[rows.QUEUE_LENGTH, ("news",)], found[rows.QUEUE_CONSUMERS, ("news",)])
    assert {"news", "mail"} == site.scrape()
    site.tells("mail")
    site.wait(BROADCAST_SECONDS + 120)
    assert {"mail"} == site.scrape()
    assert ("mail",) == site.queues.known()


def test_a_queue_that_is_refused_again_is_counted_again() -> None:
    """A queue that was refused, shown and forgotten counts as dropped again when it is refused again."""
    site = Site(limit=1)
    dropped = (internals.SERIES_DROPPED, rows.QUEUE_LENGTH.name)
    site.queues.add(["first"])
    site.queues.add(["again"])
    site.wait()
    site.queues.add(["again"])
    assert (("again",), 1) == (site.queues.known(), site.value(*dropped))
    site.wait()
    site.queues.add(["last"])
    site.queues.add(["again"])
    assert (("last",), 2) == (site.queues.known(), site.value(*dropped))


def test_a_queue_refused_by_its_events_is_shown_when_there_is_room() -> None:
    """A refused queue that events or consumers name is shown as soon as another queue is forgotten."""
    site = Site(limit=1)
    site.queues.add(["dead"])
    site.sent("a", 0, queue="alive")
    for number in range(70):
        site.wait(60)
        site.sent(str(number), 0, queue="alive")
    assert {"alive"} == site.scrape()
    consumed = Site(limit=1)
    consumed.queues.add(["dead"])
    consumed.tells("alive")
    consumed.wait()
    assert {"alive"} == consumed.scrape()


def test_a_queue_that_comes_back_is_shown_again() -> None:
    """A forgotten queue is shown again with its next event, without its old age and its old priorities."""
    site = Site()
    site.sent("a", 0, queue="q")
    site.queues.names()
    site.queues.fold_all([QueueReading("q", {0: 0, 3: 1}, {3: QueuedMessage("old")})], site.clock.now())
    assert (0, 3) == site.queues.used_steps("q")
    site.wait()
    assert set() == site.scrape()
    site.sent("b", site.clock.epoch - site.start, queue="q")
    assert {"q"} == site.scrape()
    assert (0,) == site.queues.used_steps("q")


def test_gauges_of_consumers_go_with_their_queue() -> None:
    """When a queue is forgotten, its gauges of consumers are removed."""
    site = Site()
    site.queues.add(["gone"])
    site.tells("kept")
    assert 0 == site.value(rows.QUEUE_CONSUMERS, "gone")
    site.wait()
    assert (None, 1) == tuple(site.value(rows.QUEUE_CONSUMERS, queue) for queue in ("gone", "kept"))


def test_queues_of_other_brokers_are_forgotten_too() -> None:
    """Messages and consumers keep a queue that the broker counts; a queue that the broker doesn't have is forgotten."""
    site = Site()
    site.queues.add(["deleted", "consumed", "filled"])
    for _ in range(70):
        site.advance(60)
        counts = [QueueCount("consumed", 0, 1), QueueCount("filled", 1, None)]
        site.queues.fold_counts([count for count in counts if count.queue in site.queues.names()])
    assert ("consumed", "filled") == site.queues.names()


def test_rewritten_queues_are_forgotten_too() -> None:
    """Queues with one shown name are forgotten one by one, and the shown name with the last of them."""
    rules = NameRules(rewrites=[Rewrite(re.compile(r"tenant\..*"), "tenants")])
    site = Site(naming=Naming(queue=rules))
    site.sent("a", 0, queue="tenant.1")
    site.scrape()
    site.wait(1800)
    site.sent("b", 0, queue="tenant.2")
    assert {"tenants"} == site.scrape()
    assert ("tenant.1", "tenant.2") == site.queues.names()
    site.wait(2100)
    assert ("tenant.2",) == site.queues.names()
    assert {"tenants"} == site.scrape()
    site.wait()
    assert set() == site.scrape()


def test_nothing_is_kept_of_forgotten_queues() -> None:
    """Forgotten queues leave no memory behind, neither in the state nor in the part that reads queues."""
    count = scaled(200, 1000)
    site = Site(limit=count)
    part = QueuesRead(site.queues, lambda: queue_keys(priority_steps=(0,)), site.store, site.clock, oldest=True)
    site.queues.add(f"w{number}.dq2" for number in range(count))
    assert 2 * count == len(part.commands())
    part.samples([0, None] * count)
    site.wait()
    assert [] == part.commands()
    part.samples([])
    queues = site.queues
    kept = (part._read, part._heavy, queues._names, queues._used_steps, queues._heads, queues._readings)
    assert [0] * len(kept) == [len(each) for each in kept]
