# SPDX-License-Identifier: Apache-2.0
"""Every manifest of ``deploy/`` by where it comes from: overlays, the chart with several values, single files.

Takes nothing, gives manifests. Needs no cluster.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from tests.deployment import chart, kustomize
from tests.support import yaml_text

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
Manifest = dict[str, Any]
COMPONENTS = DEPLOY / "kubernetes" / "components"
FOLDERS = sorted(
    path.parent
    for path in (DEPLOY / "kubernetes").rglob("kustomization.yaml")
    if COMPONENTS not in path.parents
)  # fmt: skip
FILES = sorted((DEPLOY / "keda").glob("*.yaml"))
CHART_VALUES: Mapping[str, chart.Values] = {
    "defaults": {},
    "operator": {
        "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
        "prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}},
        "dashboards": {"enabled": True, "annotations": {"grafana_folder": "Celery"}},
    },
    "pods": {"podMonitor": {"enabled": True}, "podLabels": {"team": "shop"}, "podAnnotations": {"note": "a: b"}},
    "results": {
        "resultBackendUrl": "rediss://results:6380/1",
        "secret": {"resultBackendPasswordKey": "results-password"},
        "settings": {"EXPORTER_TASKS": '{"proj.report": {"expected_interval": "1h"}}'},
    },
    "sentinel": {
        "brokerUrl": "sentinel://a:26379/0;sentinel://b:26379",
        "secret": {"sentinelPasswordKey": "sentinel-password"},
        "settings": {"EXPORTER_BROKER_TRANSPORT_OPTIONS__MASTER_NAME": "mymaster"},
        "networkPolicy": {"egressPorts": [6379, 26379]},
    },
    "state": {"state": {"enabled": True, "storageClassName": "fast"}, "serviceMonitor": {"enabled": True}},
    "claimed": {"state": {"enabled": True, "existingClaim": "kept"}, "secret": {"name": ""}},
    "rabbitmq": {
        "secret": {"name": "rabbitmq", "brokerUrlKey": "url"},
        "networkPolicy": {"egressPorts": [5671]},
    },
    "web": {
        "web": {"configSecret": "web", "tlsSecret": "web-tls", "scrapeSecret": "scrape", "serverName": "shop.example"},
        "serviceMonitor": {"enabled": True},
        "state": {"enabled": True},
    },
    "tls": {"web": {"configSecret": "web", "tlsSecret": "web-tls"}, "podMonitor": {"enabled": True}},
    "password": {"web": {"configSecret": "web", "scrapeSecret": "scrape"}, "podMonitor": {"enabled": True}},
    "applications": {
        "applications": {
            "shop": {
                "brokerUrl": "redis://redis.shop:6379/0",
                "resultBackendUrl": "redis://redis.shop:6379/1",
                "secret": {
                    "name": "shop-redis",
                    "brokerPasswordKey": "password",
                    "resultBackendPasswordKey": "password",
                },
                "settings": {"queues": {"length_threshold": {"nightly-*": 100000}}},
            },
            "billing": {"secret": {"name": "billing-rabbitmq", "brokerUrlKey": "url"}},
            "crm": {"brokerUrl": "redis://redis.crm:6379/0"},
        },
        "networkPolicy": {"egressPorts": [6379, 5672]},
        "settings": {"EXPORTER_REDIS__DISCOVERY_INTERVAL": "1m"},
        "podAnnotations": {"note": "several"},
    },
    "everything": {
        "applications": {
            "shop": {"brokerUrl": "redis://redis:6379/0", "secret": {"name": "shop", "brokerPasswordKey": "a"}}
        },
        "web": {"configSecret": "web", "tlsSecret": "web-tls", "scrapeSecret": "scrape"},
        "state": {"enabled": True, "size": "2Gi"},
        "podMonitor": {"enabled": True},
    },
    "bare": {
        "secret": {"name": ""},
        "networkPolicy": {"enabled": False},
        "replicas": 2,
        "imagePullSecrets": [{"name": "registry"}],
        "image": {"tag": "1.2.3"},
        "priorityClassName": "high",
        "nodeSelector": {"kubernetes.io/arch": "amd64"},
        "tolerations": [{"key": "monitoring", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "service": {"annotations": {"note": "yes"}},
    },
}
"""Values that together switch every part of the chart on and off."""


def of_folder(folder: Path) -> list[Manifest]:
    """Give what a kustomization makes."""
    return kustomize.resolve(folder)


def of_chart(values: str) -> list[Manifest]:
    """Give what the chart makes of one of the values above."""
    return chart.manifests(chart.render(CHART_VALUES[values]))


@cache
def everything() -> dict[str, list[Manifest]]:
    """Give every set of manifests by its name. Callers share the sets and do not change them."""
    found = {folder.relative_to(DEPLOY).as_posix(): of_folder(folder) for folder in FOLDERS}
    found |= {f"helm with {values}": of_chart(values) for values in CHART_VALUES}
    found |= {
        path.relative_to(DEPLOY).as_posix(): yaml_text.parse_all(path.read_text(encoding="utf-8")) for path in FILES
    }
    return found


def of_kind(manifests: list[Manifest], kind: str) -> list[Manifest]:
    """Give those of one kind."""
    return [manifest for manifest in manifests if manifest["kind"] == kind]
