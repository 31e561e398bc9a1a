# SPDX-License-Identifier: Apache-2.0
"""Make the links of alerts: to their runbook and to a dashboard.

Input: an alert and the address that links begin with. Output: annotations. Without an address of the installation the
links are relative, and the templates of the Alertmanager example leave them out.
"""

import re
from collections.abc import Collection

from celery_redis_exporter.alerts.rule import Alert, grouping_labels

RUNBOOKS = "alerts/runbooks.md"
DASHBOARDS = "/d"
UID = "celery-redis-exporter-"
"""What the uids of the dashboards begin with, so that they are unlike those of other projects."""
VARIABLES = ("cluster", "namespace", "job", "application", "queue", "task", "worker", "redis")
"""Variables of the dashboards. They are named like the labels that fill them."""
SINCE = "?from=now-3h"
"""Longer than the time that any alert waits before it fires."""


def dashboard_uid(name: str) -> str:
    """Return the uid of the dashboard in the file of that name: ``celery-redis-exporter-task`` for ``celery-task``."""
    return UID + name.removeprefix("celery-")


def runbook_link(alert: Alert, base: str) -> str:
    """Return the link to an alert's section of the runbooks."""
    return f"{base}#{alert.name.lower()}"


def dashboard_link(alert: Alert, base: str, group_by: Collection[str]) -> str:
    """Return the link to an alert's dashboard. An absolute link also selects the values of the alert's labels."""
    link = f"{base}/{dashboard_uid(alert.panel)}"
    return link if base == DASHBOARDS else link + SINCE + variables(alert, group_by)


def variables(alert: Alert, group_by: Collection[str]) -> str:
    """Return a template that fills the dashboard's variables from the labels of an alert."""
    known = {*group_by, *own_variables(alert)}
    return "".join(fill_variable(name) for name in VARIABLES if name in known)


def own_variables(alert: Alert) -> set[str]:
    """Return the variables that the labels of an alert fill, without those of the grouping."""
    described = re.findall(r"\$labels\.(\w+)", alert.description)
    return {*grouping_labels(alert.expr), *alert.labels, *described} & set(VARIABLES)


def fill_variable(name: str) -> str:
    """Return a template that fills one variable if the alert has its label."""
    return f"{{{{ with $labels.{name} }}}}&var-{name}={{{{ . | urlquery }}}}{{{{ end }}}}"
