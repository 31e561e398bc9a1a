# SPDX-License-Identifier: Apache-2.0
"""Write the schema of ``/api/v1/status``: ``python -m celery_redis_exporter.status.schema --write``.

Input: the classes of ``records/report.py``. Output: JSON.
"""

import json
import sys
from pathlib import Path
from typing import Any

import msgspec

from celery_redis_exporter.catalog.generated import print_or_write
from celery_redis_exporter.records.report import Overview, Report

TARGET = Path(__file__).parents[3] / "deploy" / "status.schema.json"
COMMAND = "python -m celery_redis_exporter.status.schema --write"


def build_schema() -> dict[str, Any]:
    """Return the JSON schema of a report, with that of an ``Overview`` among its parts.

    Every property is always present, and later versions may add more.
    """
    (reference, _), parts = msgspec.json.schema_components([Report, Overview], ref_template="#/$defs/{name}")
    for part in parts.values():
        part["required"] = list(part["properties"])
        part["description"] = " ".join(part["description"].split()).replace("``", "")
    comment = f"Generated from report.py in the package: {COMMAND}"
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$comment": comment,
        **reference,
        "$defs": parts,
    }


def render_schema() -> str:
    """Return the content of the schema file."""
    return json.dumps(build_schema(), indent=2) + "\n"


if __name__ == "__main__":
    raise SystemExit(print_or_write(sys.argv[1:], TARGET, render_schema))
