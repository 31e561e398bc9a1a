# SPDX-License-Identifier: Apache-2.0
"""The databases of each server that are sampled, and the names of their keys."""

from celery_redis_exporter.brokers.endpoints import Endpoints
from celery_redis_exporter.collectors.key_sweep import KeyBudget
from celery_redis_exporter.daemon.key_spaces import KeySpaces
from celery_redis_exporter.daemon.options import task_limits, transport
from celery_redis_exporter.settings import load
from celery_redis_exporter.state.queues import Queues
from tests.support.fakes import FakeClock
from tests.support.lab import Lab

HERE = ("--broker-url", "redis://one:6379/0")


def build(*flags: str, queues: tuple[str, ...] = ()) -> KeySpaces:
    """Build the samplers of some settings, without a connection."""
    settings = load(flags, {})
    lab = Lab(task_limits(settings))
    clock = FakeClock()
    queues_of = Queues(lab.tasks, queues, 10)
    return KeySpaces(settings, Endpoints(settings, clock), queues_of, transport(settings), lab.store, lambda _: {})


def databases(*flags: str) -> dict[str, set[int]]:
    """Return the sampled databases by server."""
    return {sampler.name: set(sampler.seed._options.databases) for sampler in build(*flags).samplers}


def test_databases_of_one_server_are_read_together() -> None:
    """A result backend on the broker's server is sampled with it; one on another server has its own sampler."""
    assert {"broker": {0}} == databases(*HERE)
    assert {"broker": {0, 1}} == databases(*HERE, "--result-backend-url", "redis://one:6379/1")
    assert {"broker": {0}, "results": {1}} == databases(*HERE, "--result-backend-url", "redis://two:6379/1")
    further = ("--redis.key-space.databases", "2,5")
    both = databases(*HERE, "--result-backend-url", "redis://two:6379/1", *further)
    assert {"broker": {0, 2, 5}, "results": {1, 2, 5}} == both
    assert {"results": {1}} == databases("--broker-url", "amqp://x", "--result-backend-url", "redis://two:6379/1")


def test_default_budget_of_a_cycle() -> None:
    """By default a cycle is limited to 20,000 names, 1,000 sizes, 50 ms of server time, 5 s and a duty of 2 %."""
    (sampler,) = build(*HERE).samplers
    assert KeyBudget(names=20_000, measured=1000, busy=0.05, wall=5.0, duty=0.02) == sampler.seed._options.budget


def test_no_interval_looks_at_nothing() -> None:
    """An interval of 0 builds no sampler."""
    assert {} == databases(*HERE, "--redis.key-space.interval", "0")


def test_names_are_those_of_the_settings() -> None:
    """Queues and their bindings are read directly, under the key prefix, only in the broker's database."""
    flags = (
        *HERE, "--result-backend-url", "redis://one:6379/1", "--broker-transport-options.global-keyprefix", "app:",
        "--broker-transport-options.priority-steps", "0,5", "--result-backend-transport-options.global-keyprefix", "r",
        "--redis.key-space.groups", "market:*", "--names.queue.rewrite", '{"tenant-.*": "tenant"}',
    )  # fmt: skip
    (sampler,) = build(*flags, queues=("tenant-1",)).samplers
    here, there = (sampler.seed._options.databases[db]() for db in (0, 1))
    queue = ("app:tenant-1", "app:tenant-1\x06\x165", "app:_kombu.binding.tenant-1")
    exchanges = ("celery.pidbox", "reply.celery.pidbox", "celeryev")
    assert {"app:unacked", "app:unacked_index", *(f"app:_kombu.binding.{name}" for name in exchanges), *queue} == set(
        here.census
    )
    assert {"tenant-1": "tenant"} == here.celery.queues
    assert ((), {}) == (there.census, there.celery.queues)
    assert ("app:", "r") == (there.celery.prefix, there.celery.result_prefix)
    assert {"market:*": ("market:*",)} == here.patterns
