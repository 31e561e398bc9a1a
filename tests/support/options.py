# SPDX-License-Identifier: Apache-2.0
"""Return options of collectors and state from the default settings, for tests that change a few of them."""

from dataclasses import replace
from typing import Any

from celery_redis_exporter.brokers import redis_broker
from celery_redis_exporter.collectors.control import ControlOptions
from celery_redis_exporter.collectors.key_sweep import KeyBudget
from celery_redis_exporter.daemon import options
from celery_redis_exporter.daemon.key_spaces import key_names
from celery_redis_exporter.decode.key_groups import CeleryNames
from celery_redis_exporter.settings import load
from celery_redis_exporter.sources.event_stream import Topic
from celery_redis_exporter.sources.queues import QueueKeys
from celery_redis_exporter.state.tracking import TaskLimits
from celery_redis_exporter.state.worker import WorkerLimits

DEFAULTS = load([], {})


def task_limits(**changes: Any) -> TaskLimits:  # noqa: ANN401 -- the fields of TaskLimits
    """Return the default bounds on tasks, with ``changes``."""
    return replace(options.task_limits(DEFAULTS), **changes)


def worker_limits(**changes: Any) -> WorkerLimits:  # noqa: ANN401 -- the fields of WorkerLimits
    """Return the default bounds on workers, with ``changes``."""
    return replace(options.worker_limits(DEFAULTS), **changes)


def control_options(**changes: Any) -> ControlOptions:  # noqa: ANN401 -- the fields of ControlOptions
    """Return the default control options, with ``changes``."""
    return replace(options.control_options(DEFAULTS), **changes)


def key_budget(**changes: Any) -> KeyBudget:  # noqa: ANN401 -- the fields of KeyBudget
    """Return the default budget of a pass over keys, with ``changes``."""
    return replace(options.key_budget(DEFAULTS), **changes)


def topic(**changes: Any) -> Topic:  # noqa: ANN401 -- the fields of Topic
    """Return the default topic of events, with ``changes``."""
    options = DEFAULTS.broker_transport_options
    default = Topic(
        DEFAULTS.event_exchange, options.global_keyprefix, options.fanout_prefix, options.fanout_patterns, 0
    )
    return replace(default, **changes)


def queue_keys(**changes: Any) -> QueueKeys:  # noqa: ANN401 -- the fields of QueueKeys
    """Return kombu's default names of keys, with ``changes``."""
    return replace(redis_broker.queue_keys(DEFAULTS), **changes)


def celery_names(**changes: Any) -> CeleryNames:  # noqa: ANN401 -- the fields of CeleryNames
    """Return an application's default names of keys, with ``changes``."""
    return replace(key_names(DEFAULTS, {}).celery, **changes)
