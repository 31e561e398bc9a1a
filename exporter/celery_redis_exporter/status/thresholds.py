"""The alerts' own thresholds: a page that calls well what an alert calls critical helps nobody."""

from celery_redis_exporter.alerts import GROUPS

_BY_NAME = {alert.name: alert for group in GROUPS for alert in group.alerts}


def threshold(alert: str, parameter: str) -> float:
    """Give the default of an alert's parameter; raise KeyError if there is none."""
    return _BY_NAME[alert].parameters[parameter]
