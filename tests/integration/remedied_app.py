# SPDX-License-Identifier: Apache-2.0
"""The application that a worker process imports, with lines that ``check`` printed for Celery's settings.

``APPLICATION_LINES`` contains the lines. ``APPLICATION_NAMESPACE`` is CELERY if they are for Django's settings.
Imported by ``celery -A``, and by tests for ``read_lines``.
"""

import json
import os
from types import SimpleNamespace
from typing import Any

from celery import Celery

from tests.integration.application import build


def read_lines(lines: str, namespace: str) -> dict[str, Any]:
    """Return the settings in lines of a settings module, as Celery reads them."""
    pasted: dict[str, Any] = {}
    exec(lines, pasted)  # noqa: S102 -- a settings module
    given = {name: value for name, value in pasted.items() if not name.startswith("__")}
    probe = Celery("probe", set_as_current=False)
    probe.config_from_object(SimpleNamespace(**given), namespace=namespace or None)
    names = [name.removeprefix(f"{namespace}_").lower() for name in given]
    return {name: probe.conf[name] for name in names}


if "APPLICATION_LINES" in os.environ:
    app = build(os.environ["APPLICATION_BROKER"], json.loads(os.environ["APPLICATION_SETTINGS"]))
    app.conf.update(read_lines(os.environ["APPLICATION_LINES"], os.environ["APPLICATION_NAMESPACE"]))
