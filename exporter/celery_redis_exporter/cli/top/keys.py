# SPDX-License-Identifier: Apache-2.0
"""Convert the bytes of a terminal to keys by name."""

import codecs

NAMES = {
    "\x03": "ctrl-c", "\t": "tab", "\r": "enter", "\n": "enter", "\x7f": "backspace", "\b": "backspace", "\x1b": "esc",
    "\x1b[Z": "back-tab", "\x1b[A": "up", "\x1b[B": "down", "\x1b[C": "right", "\x1b[D": "left", "\x1bOA": "up",
    "\x1bOB": "down", "\x1bOC": "right", "\x1bOD": "left", "\x1b[5~": "page-up", "\x1b[6~": "page-down",
    "\x1b[H": "home", "\x1b[1~": "home", "\x1bOH": "home",
}  # fmt: skip


class Keys:
    """Assembles keys from the bytes that are read. The bytes of one key may arrive separately."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""

    def feed(self, data: bytes) -> list[str]:
        """Return the complete keys of ``data`` and of earlier bytes. An incomplete sequence is kept until ``flush``."""
        text, self._rest = self._rest + self._decoder.decode(data), ""
        keys = []
        while text:
            length = _length(text)
            if length is None:
                self._rest = text
                break
            piece, text = text[:length], text[length:]
            if piece in NAMES or len(piece) == 1:
                keys.append(NAMES.get(piece, piece))
        return keys

    def flush(self) -> list[str]:
        """Return the kept bytes as keys, if no more have arrived: a single escape is the key of that name."""
        text, self._rest = self._rest, ""
        return [NAMES[text]] if text in NAMES else []


def _length(text: str) -> int | None:
    """Return the length of the first key, or None if it may be incomplete."""
    if text[0] != "\x1b":
        return 1
    if len(text) == 1:
        return None
    if text[1] == "O":
        return 3 if len(text) >= 3 else None
    if text[1] != "[":
        return 1
    end = next((place for place, character in enumerate(text[2:], 2) if "@" <= character <= "~"), None)
    return None if end is None else end + 1
