# SPDX-License-Identifier: Apache-2.0
"""``python -m tests.pictures``: draw the status page and ``top`` from the demo, for the documentation.

Input: the folder to write to (deploy/pictures). Output: status-page.png, status-page-phone.png and top.svg. A
development tool: needs Chromium and redis-server. Leaves no process behind.
"""

import argparse
import io
import re
import sys
import tempfile
import threading
from pathlib import Path

from rich.console import Console

from celery_redis_exporter.cli.remote import Access, RemoteSource
from celery_redis_exporter.cli.top.look import Look
from celery_redis_exporter.cli.top.screen import Frame, draw
from tests.integration.browser import Browser
from tests.integration.exporters import Exporter
from tests.integration.processes import ROOT, Process, free_port
from tests.support.waiting import eventually

SECONDS = 150.0
"""Seconds of traffic before the pictures are taken."""
WIDTH, HEIGHT = 110, 34


def draw_all(folder: Path, seconds: float) -> None:
    """Run the demo for some time, then draw."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="pictures-") as name:
        temporary, port = Path(name), free_port()
        demo = Process(
            [sys.executable, "-m", "celery_redis_exporter", "demo", f"--port={port}"], temporary / "demo.log"
        )
        try:
            eventually(lambda: _is_there(port), 30)
            ending = threading.Event()
            while not ending.wait(5) and (seconds := seconds - 5) > 0:
                Exporter.at(port).get("/api/v1/status")  # as a scraper would, so that there are trends
            _draw_page(folder, temporary, port)
            _draw_top(folder / "top.svg", port)
        finally:
            demo.end(10)


def _is_there(port: int) -> bool:
    try:
        return Exporter.at(port).get("/-/healthy").status == 200
    except OSError:
        return False


def _draw_page(folder: Path, temporary: Path, port: int) -> None:
    with Browser(temporary) as browser:
        for name, width, height, dark in (("status-page", 1280, 800, False), ("status-page-phone", 390, 800, True)):
            browser.resize(width, height, dark=dark)
            browser.open(f"http://127.0.0.1:{port}/")
            browser.picture(folder / f"{name}.png")


def _draw_top(file: Path, port: int) -> None:
    source = RemoteSource("top", f"http://127.0.0.1:{port}", Access())
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    frame = Frame(WIDTH, HEIGHT, source="http://localhost:9808")
    for line in draw(source.read(), Look(), frame):
        console.print(line, highlight=False)
    drawn = console.export_svg(title="celery-redis-exporter top")
    # Without the fonts that it would load from the network.
    file.write_text(re.sub(r"@font-face \{.*?\}\s*", "", drawn, flags=re.DOTALL), encoding="utf-8")


def main(words: list[str]) -> int:
    """Draw; return the exit code."""
    parser = argparse.ArgumentParser("python -m tests.pictures")
    parser.add_argument("--out", type=Path, default=ROOT / "deploy" / "pictures")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="seconds of traffic before the pictures")
    chosen = parser.parse_args(words)
    draw_all(chosen.out, chosen.seconds)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
