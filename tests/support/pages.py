# SPDX-License-Identifier: Apache-2.0
"""Read the fenced blocks of a page in their order. Each is a file to write, or commands to type.

Input: a page and the beginning of a heading. Output: blocks. A block of Python or YAML is a file if its first line is a
comment with a path, as in ``# mysite/settings.py``.
"""

import re
from pathlib import Path
from typing import NamedTuple

SHELL = "sh"


class Block(NamedTuple):
    """A fenced block: its language, and its text."""

    language: str
    text: str

    @property
    def file(self) -> str | None:
        """Return the path of the file, or None if the block is not a whole file."""
        found = re.match(r"# ([\w./-]+\.(?:py|ya?ml))\n", self.text)
        return found[1] if found else None

    @property
    def commands(self) -> list[str]:
        """Return every line of a block of shell, without comments, and with continued lines joined."""
        lines = self.text.replace("\\\n", " ").splitlines() if self.language == SHELL else []
        return [command for line in lines if (command := " ".join(line.partition(" #")[0].split()))]


def blocks(page: Path, heading: str = "") -> list[Block]:
    """Return the blocks of a page, or of the section whose heading begins with a text."""
    text = page.read_text(encoding="utf-8")
    if heading:
        text = text.partition(f"\n## {heading}")[2].partition("\n## ")[0]
    return [Block(*found) for found in re.findall(r"^```(\w*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)]
