# SPDX-License-Identifier: Apache-2.0
"""``render``: write alert rules or dashboards for an installation.

Input: ``alerts`` or ``dashboards`` and its flags. Each has its own module, which is imported only if it is used. Raises
ConfigError for any other word.
"""

import sys
from importlib import import_module
from types import MappingProxyType

from celery_redis_exporter.errors import ConfigError

HELP = """\
usage: celery-redis-exporter render alerts|dashboards [flags]

  alerts      rules for Prometheus, its operator, or Grafana
  dashboards  ConfigMaps for Kubernetes, one dashboard's JSON, or files

render alerts --help and render dashboards --help show their flags.
"""
MODULES = MappingProxyType({
    "alerts": "celery_redis_exporter.cli.render_alerts",
    "dashboards": "celery_redis_exporter.cli.render_dashboards",
})  # fmt: skip


def run(argv: list[str]) -> int:
    """Render. Raises ConfigError if that is not possible."""
    if not argv or argv[0] in {"-h", "--help"}:
        sys.stdout.write(HELP)
        return 0
    if argv[0] not in MODULES:
        raise ConfigError(f"render: there is nothing called {argv[0]!r}; it renders {' and '.join(MODULES)}")
    rendered: int = import_module(MODULES[argv[0]]).run(argv[1:])
    return rendered
