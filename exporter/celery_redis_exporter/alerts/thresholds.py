"""Thresholds of the alerts, for the status page, the terminal and ``analyze``, so that all agree with the alerts."""

from celery_redis_exporter.alerts import GROUPS

_BY_NAME = {alert.name: alert for group in GROUPS for alert in group.alerts}


def threshold(alert: str, parameter: str) -> float:
    """Return the default of an alert's parameter, in the unit of its expression; raise KeyError if there is none."""
    return _BY_NAME[alert].parameters[parameter]
