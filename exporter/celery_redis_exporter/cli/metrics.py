# SPDX-License-Identifier: Apache-2.0
"""``metrics``: print the metric reference.

Input: ``--format text|markdown|json``. Output: standard output. Never reads settings or servers.
"""

import sys

from celery_redis_exporter.catalog.reference import RENDERERS
from celery_redis_exporter.errors import ConfigError

HELP = """\
usage: celery-redis-exporter metrics [--format=text|markdown|json]

Print every metric with its type, labels, meaning, origin and the setting of
Celery that it needs.
"""


def run(argv: list[str]) -> int:
    """Print the reference. Raises ConfigError for a wrong flag or format."""
    if any(argument in {"-h", "--help"} for argument in argv):
        sys.stdout.write(HELP)
        return 0
    sys.stdout.write(RENDERERS[_format(argv)]())
    return 0


def _format(argv: list[str]) -> str:
    words = [word for argument in argv for word in argument.split("=", 1)]
    if not words:
        return "text"
    if words[0] != "--format" or len(words) != 2:
        raise ConfigError("metrics takes one flag: --format=text, --format=markdown or --format=json")
    if words[1] not in RENDERERS:
        raise ConfigError(f"--format: must be {', '.join(RENDERERS)}, not {words[1]!r}")
    return words[1]
