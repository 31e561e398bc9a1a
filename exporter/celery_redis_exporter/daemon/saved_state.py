"""Builds what keeps the state of an exporter over restarts, where the settings name a file for it."""

from celery_redis_exporter.collectors.saved_state import StateKeeper
from celery_redis_exporter.daemon.exporter import Exporter
from celery_redis_exporter.daemon.options import state_owner
from celery_redis_exporter.sources.saved_state import StateFile


def build_state_keeper(exporter: Exporter) -> StateKeeper | None:
    """Return the keeper of the exporter's state, which has its file for itself; raise ConfigError if it can't."""
    path, application = exporter.settings.state.file, exporter.application
    if not path:
        return None
    owner = state_owner(exporter.settings)
    return StateKeeper(StateFile(path), application.lasting, application.events, owner, exporter.clock)
