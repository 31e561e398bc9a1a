# SPDX-License-Identifier: Apache-2.0
"""All lives, registered: ordinary ones and troubles."""

from tests.alert_life import exporter_lives, queue_lives, redis_lives, task_lives, worker_lives
from tests.alert_life.scenario import ORDINARY, TROUBLES

__all__ = ["EXCEPTIONS", "MODULES", "ORDINARY", "TROUBLES"]

MODULES = (exporter_lives, worker_lives, task_lives, queue_lives, redis_lives)
"""The modules that register them."""
EXCEPTIONS = {
    "CeleryWatchdog": "it always fires, in ordinary life and in trouble",
    "CeleryExporterBug": "an error that should not be possible belongs to no ordinary life",
}
"""Alerts that need no life of both kinds, with the reason."""
