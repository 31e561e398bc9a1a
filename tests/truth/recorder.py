# SPDX-License-Identifier: Apache-2.0
"""Record the events of a broker as they arrive, one JSON line each: ``python -m tests.truth.recorder URL FILE``.

The recorded events show whether a difference comes from Celery or from the exporter.
"""

import json
import sys
from pathlib import Path
from typing import Any

from celery import Celery

UNRECORDED = {"args", "kwargs", "result", "sw_ident", "sw_ver", "sw_sys", "loadavg"}


def main(url: str, path: Path) -> None:
    """Append every event to the file, until the process is ended."""
    app = Celery("recorder", broker=url, set_as_current=False)
    with path.open("a", encoding="utf-8", buffering=1) as file, app.connection_for_read() as connection:

        def write(event: dict[str, Any]) -> None:
            kept = {name: value for name, value in event.items() if name not in UNRECORDED}
            file.write(json.dumps(kept) + "\n")

        app.events.Receiver(connection, handlers={"*": write}).capture(limit=None, timeout=None, wakeup=False)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
