"""Thresholds of the alerts, for the status page, the terminal and ``analyze``, so that all agree with the alerts."""

from celery_redis_exporter.alerts import GROUPS

CELERY_SERVERS = ("broker", "results")
"""Servers, by their names in the settings, where nothing may be lost."""
_BY_NAME = {alert.name: alert for group in GROUPS for alert in group.alerts}


def threshold(alert: str, parameter: str) -> float:
    """Return the default of an alert's parameter, in the unit of its expression; raise KeyError if there is none."""
    return _BY_NAME[alert].parameters[parameter]


def may_evict(policy: str) -> bool:
    """Return whether a server with this maxmemory-policy removes keys at its limit instead of refusing writes."""
    return policy.partition("-")[0] in {"allkeys", "volatile"}


def is_cache(server: str, policy: str) -> bool:
    """Return whether a server is meant to be full, as the alerts decide it: it may evict, and is not Celery's.

    ``server`` is its name in the settings, or that of a node of it, and ``policy`` its maxmemory-policy.
    """
    return may_evict(policy) and server.partition("/")[0] not in CELERY_SERVERS
