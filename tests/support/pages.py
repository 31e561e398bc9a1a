# SPDX-License-Identifier: Apache-2.0
"""What stands on a page: its fenced blocks in order, each a file to write or commands to type.

Takes a page and the beginning of a heading, gives blocks. A block of Python or YAML is a file if its first line is a
comment that names one, as in ``# mysite/settings.py``.
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
        """The file that the block is; None if it is no whole file."""
        found = re.match(r"# ([\w./-]+\.(?:py|ya?ml))\n", self.text)
        return found[1] if found else None

    @property
    def commands(self) -> list[str]:
        """Every line of a block of shell, without comments, and with continued lines in one."""
        lines = self.text.replace("\\\n", " ").splitlines() if self.language == SHELL else []
        return [command for line in lines if (command := " ".join(line.partition(" #")[0].split()))]


def blocks(page: Path, heading: str = "") -> list[Block]:
    """Return the blocks of a page, or of the section whose heading begins with a text."""
    text = page.read_text(encoding="utf-8")
    if heading:
        text = text.partition(f"\n## {heading}")[2].partition("\n## ")[0]
    return [Block(*found) for found in re.findall(r"^```(\w*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)]
