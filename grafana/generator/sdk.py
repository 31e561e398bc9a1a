# SPDX-License-Identifier: Apache-2.0
"""Grafana's own model of a dashboard (grafana-foundation-sdk), as this generator uses it.

Takes nothing, gives the SDK's classes under short names. Never changes what they write, but for ``placement``, which
Grafana before 12 does not know and later ones take for "hide it in a menu".
"""

import warnings

with warnings.catch_warnings():
    # The SDK prefers dashboards of the second schema, which Grafana 10 and 11 can't load.
    warnings.filterwarnings("ignore", "Prefer using dashboardv2", DeprecationWarning)
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.models import (
        bargauge,
        common,
        dashboard,
        heatmap,
        prometheus,
        stat,
        statetimeline,
        table,
        timeseries,
    )

__all__ = [
    "AnnotationQuery",
    "DashboardLink",
    "JSONEncoder",
    "bargauge",
    "common",
    "dashboard",
    "heatmap",
    "prometheus",
    "stat",
    "statetimeline",
    "table",
    "timeseries",
]


class DashboardLink(dashboard.DashboardLink):
    """A link that stands where one sees it."""

    def to_json(self) -> dict[str, object]:
        """Give the link without ``placement``."""
        return {key: value for key, value in super().to_json().items() if key != "placement"}


class AnnotationQuery(dashboard.AnnotationQuery):
    """An annotation whose switch stands where one sees it."""

    def to_json(self) -> dict[str, object]:
        """Give the annotation without ``placement``."""
        return {key: value for key, value in super().to_json().items() if key != "placement"}
