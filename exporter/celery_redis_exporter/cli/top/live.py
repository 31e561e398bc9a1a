# SPDX-License-Identifier: Apache-2.0
"""Control the terminal: draw reports, react to keys, and restore the terminal's state at the end."""

import os
import select
import sys
import termios
import threading
import tty
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console, Group
from rich.live import Live

from celery_redis_exporter.cli.top.keys import Keys
from celery_redis_exporter.cli.top.look import Look
from celery_redis_exporter.cli.top.screen import Frame, draw
from celery_redis_exporter.cli.top.source import Source
from celery_redis_exporter.errors import SourceError
from celery_redis_exporter.records.report import Overview, Report

ESCAPE_SECONDS = 0.05
"""Seconds to wait for the rest of a key that begins with an escape."""
WIDTH_IN_A_PIPE = 120


class Reader:
    """Reads reports in a thread, so that keys never wait. A byte is written to ``descriptor`` after each report."""

    def __init__(self, source: Source, interval: float) -> None:
        self.report: Report | Overview | None = None
        self.trouble = ""
        self.paused = False
        self.descriptor, self._told = os.pipe()
        self._source = source
        self._interval = interval
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="top", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """Stop the thread. A read that is in progress is completed, but waited for at most one second."""
        self._stop.set()
        self._thread.join(1)

    def _run(self) -> None:
        while not self._stop.is_set():
            if not self.paused:
                try:
                    self.report, self.trouble = self._source.read(), ""
                except SourceError as error:
                    self.trouble = str(error)
                os.write(self._told, b".")
            self._stop.wait(self._interval)


def show_once(source: Source, look: Look, *, colour: bool) -> Report | Overview:
    """Print one whole screen and return its report. Raises SourceError."""
    console = _console(colour=colour)
    report = source.read()
    for line in draw(report, look, _frame(console, source, height=None)):
        console.print(line, soft_wrap=True)
    return report


def show_live(source: Source, look: Look, interval: float, *, colour: bool) -> None:
    """Refresh a screen every ``interval`` seconds until the user leaves."""
    console = _console(colour=colour)
    reader = Reader(source, interval)
    with _keyboard() as keyboard, Live(console=console, screen=True, auto_refresh=False) as live:
        reader.start()
        keys = Keys()
        try:
            while not look.leaving:
                frame = _frame(console, source, height=console.size.height, trouble=reader.trouble)
                live.update(Group(*draw(reader.report, look, frame)), refresh=True)
                for key in _wait(reader, keyboard, keys):
                    look = look.press(key)
                reader.paused = look.paused
        finally:
            reader.close()


def _wait(reader: Reader, keyboard: int | None, keys: Keys) -> list[str]:
    """Wait for a report, a key, or half a second, and return the keys. The window may have another size then."""
    watched = [reader.descriptor, *([] if keyboard is None else [keyboard])]
    ready, _, _ = select.select(watched, [], [], 0.5)
    if reader.descriptor in ready:
        os.read(reader.descriptor, 64)
    if keyboard is None or keyboard not in ready:
        return []
    pressed = keys.feed(os.read(keyboard, 1024))
    more, _, _ = select.select([keyboard], [], [], ESCAPE_SECONDS)
    return pressed if more else pressed + keys.flush()


@contextmanager
def _keyboard() -> Iterator[int | None]:
    """Yield the descriptor of the keyboard, in a mode without line buffer and echo, or None without a terminal."""
    if not sys.stdin.isatty():
        yield None
        return
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    tty.setcbreak(descriptor)
    try:
        yield descriptor
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _console(*, colour: bool) -> Console:
    # Numbers and quotes in names must not be coloured.
    return Console(no_color=None if colour else True, highlight=False, markup=False, emoji=False)


def _frame(console: Console, source: Source, *, height: int | None, trouble: str = "") -> Frame:
    width = console.width if console.is_terminal or "COLUMNS" in os.environ else WIDTH_IN_A_PIPE
    return Frame(width, height, not console.encoding.startswith("utf"), source.name, trouble)
