"""Where the live figures are shown: redrawn in place on a terminal, appended elsewhere.

Takes lines, writes them to a stream. A reader that left ends the demo as a BrokenPipeError, a closed terminal too.
"""

import shutil
from collections.abc import Sequence
from typing import TextIO

LIVE_SECONDS, APPENDED_SECONDS = 2.0, 5.0
"""Time between two blocks, on a terminal and elsewhere."""


class Screen:
    """Writes to one stream; only a block redraws the block before it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._live = stream.isatty()
        self._drawn = 0

    @property
    def seconds(self) -> float:
        """Time between two blocks."""
        return LIVE_SECONDS if self._live else APPENDED_SECONDS

    def say(self, text: str) -> None:
        """Write text that stays."""
        self._drawn = 0
        self._write(f"{text}\n")

    def draw(self, lines: Sequence[str]) -> None:
        """Write a block, over the last one where that is possible."""
        if not self._live:
            self._write("\n".join([*lines, "", ""]))
            return
        columns, rows = shutil.get_terminal_size()
        # A wrapped line, or one that scrolled away, would not be redrawn.
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
