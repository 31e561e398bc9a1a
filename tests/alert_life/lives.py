# SPDX-License-Identifier: Apache-2.0
"""All registered lives: ordinary ones and troubles."""

from tests.alert_life import exporter_lives, queue_lives, redis_lives, task_lives, worker_lives
from tests.alert_life.scenario import ORDINARY, TROUBLES

__all__ = ["EXCEPTIONS", "MODULES", "ORDINARY", "TROUBLES"]

MODULES = (exporter_lives, worker_lives, task_lives, queue_lives, redis_lives)
"""The modules that register lives."""
EXCEPTIONS = {
    "CeleryWatchdog": "it always fires, in ordinary life and in trouble",
    "CeleryExporterBug": "an error that should not be possible belongs to no ordinary life",
}
"""Alerts that don't need a life of both kinds, with the reason."""
