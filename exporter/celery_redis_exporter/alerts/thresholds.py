# SPDX-License-Identifier: Apache-2.0
"""Return the thresholds of alerts for the status page, ``top`` and ``analyze``, so that all agree with the alerts."""

import math
import re
from typing import Literal

from celery_redis_exporter.alerts import GROUPS
from celery_redis_exporter.alerts.celery_tasks import MOST_USUAL, PRIOR
from celery_redis_exporter.alerts.redis import SHARED

CELERY_SERVERS = ("broker", "results")
"""Servers that must not lose data, by their names in the settings."""
_BY_NAME = {alert.name: alert for group in GROUPS for alert in group.alerts}


def threshold(alert: str, parameter: str) -> float:
    """Return the default of an alert's parameter, in the unit of its expression. Raises KeyError if there is none."""
    return _BY_NAME[alert].parameters[parameter]


def severity(alert: str) -> Literal["critical", "warning"]:
    """Return the severity of an alert that is critical or a warning. Raises KeyError if there is no such alert."""
    return "critical" if _BY_NAME[alert].severity == "critical" else "warning"


def is_no_chance(failed: float, ended: float, failed_before: float, ended_before: float) -> bool:
    """Return whether more executions failed of those that ended than chance explains, as CeleryTaskFailureRateCritical.

    ``failed_before`` of ``ended_before`` earlier ones failed, which is what is usual.
    """
    usual = min((failed_before + MOST_USUAL * PRIOR) / (ended_before + PRIOR), MOST_USUAL) * ended
    return failed > usual + threshold("CeleryTaskFailureRateCritical", "deviations") * math.sqrt(usual) + 1


def may_evict(policy: str) -> bool:
    """Return whether a server with this maxmemory-policy removes keys at its limit instead of refusing writes."""
    return policy.partition("-")[0] in {"allkeys", "volatile"}


def role_of(server: str) -> str:
    """Return the role of a server by its name or that of one of its nodes: ``broker``, ``results`` or another name.

    The name of a server that several applications use begins with its role, as in ``broker@redis:6379``.
    """
    return re.split("[@/]", server, maxsplit=1)[0]


def is_written(server: str) -> bool:
    """Return whether Celery writes to a server, by its name: broker or result backend, and no node of a cluster."""
    return re.fullmatch(f"({'|'.join(CELERY_SERVERS)}){SHARED}", server) is not None


def is_cache(server: str, policy: str) -> bool:
    """Return whether a server may be full, as the alerts decide it: it may evict keys, and is not one of Celery's.

    ``server`` is its name in the settings, or that of one of its nodes, and ``policy`` its maxmemory-policy.
    """
    return may_evict(policy) and role_of(server) not in CELERY_SERVERS
