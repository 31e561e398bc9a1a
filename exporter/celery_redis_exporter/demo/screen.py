# SPDX-License-Identifier: Apache-2.0
"""Show the live figures: redrawn in place on a terminal, appended elsewhere.

Input: lines. Output: text on a stream. The demo ends with a BrokenPipeError if its reader ends or the terminal closes.
"""

import shutil
from collections.abc import Sequence
from typing import TextIO

LIVE_SECONDS, APPENDED_SECONDS = 2.0, 5.0
"""Seconds between two blocks, on a terminal and elsewhere."""


class Screen:
    """Writes to one stream. A block is drawn over the block before it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._live = stream.isatty()
        self._drawn = 0

    @property
    def seconds(self) -> float:
        """Return the seconds between two blocks."""
        return LIVE_SECONDS if self._live else APPENDED_SECONDS

    def say(self, text: str) -> None:
        """Write text that remains."""
        self._drawn = 0
        self._write(f"{text}\n")

    def draw(self, lines: Sequence[str]) -> None:
        """Write a block, over the last one if that is possible."""
        if not self._live:
            self._write("\n".join([*lines, "", ""]))
            return
        columns, rows = shutil.get_terminal_size()
        # Lines that wrap or scroll away could not be redrawn.
        shown = [line[: columns - 1] for line in lines[: max(rows - 2, 1)]]
        back = f"\x1b[{self._drawn}F\x1b[J" if self._drawn else ""
        self._write(back + "\n".join([*shown, ""]))
        self._drawn = len(shown)

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except OSError as error:
            raise BrokenPipeError(*error.args) from error
