# SPDX-License-Identifier: Apache-2.0
"""``python -m tests.preview``: draw pictures of the dashboards from generated data.

Input: the data's name and flags for ``grafana/preview/preview.mjs``. Output: a picture of each dashboard. A development
tool: needs Node.js, Chromium, Prometheus and Redis on this machine, and the packages of ``grafana/preview`` installed.
Leaves no process behind.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path

from tests.integration.dashboard_data import Data, real_run, six_hours

PREVIEW = Path(__file__).parents[1] / "grafana" / "preview"
KINDS: dict[str, Callable[[Path], AbstractContextManager[Data]]] = {"history": six_hours, "run": real_run}


def draw(data: Data, flags: list[str]) -> int:
    """Draw the dashboards from a Prometheus's data; return the drawing program's exit code."""
    url = f"http://127.0.0.1:{data.prometheus.port}"
    span = ["--from", f"{data.start:.0f}", "--to", f"{data.end:.0f}", "--scrape", f"{data.step}s"]
    command = ["node", str(PREVIEW / "preview.mjs"), "--prometheus", url, *span, *_words(data), *flags]
    return subprocess.run(command, check=False).returncode


def _words(data: Data) -> list[str]:
    """Return flags for the text of a time span in whole hours, as in the time picker; others show start and end."""
    length = timedelta(seconds=round(data.end - data.start))
    hours, rest = divmod(length, timedelta(hours=1))
    return [] if rest or not hours else ["--span-words", f"Last {hours} hours" if hours > 1 else "Last 1 hour"]


def main(words: list[str]) -> int:
    """Make the data and draw; return the drawing program's exit code."""
    parser = argparse.ArgumentParser("python -m tests.preview", description="Other flags are preview.mjs's (--help).")
    parser.add_argument("--data", choices=sorted(KINDS), default="history", help="six hours generated, or a real run")
    chosen, flags = parser.parse_known_args(words)
    if not (PREVIEW / "node_modules").is_dir():
        parser.error("the preview's packages are missing; first: npm ci --prefix grafana/preview --ignore-scripts")
    with tempfile.TemporaryDirectory(prefix="preview-") as folder, KINDS[chosen.data](Path(folder) / "data") as data:
        return draw(data, flags)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
