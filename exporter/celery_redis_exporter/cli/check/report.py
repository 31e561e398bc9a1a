# SPDX-License-Identifier: Apache-2.0
"""Format findings for people, line by line, and as one JSON document.

Input: findings. Output: text. Lines for pasting are broken only with a backslash, where a shell accepts one.
"""

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import Any, TextIO

from celery_redis_exporter import __version__
from celery_redis_exporter.cli.check.finding import LEVELS, Finding

INDENT = 26
NARROWEST, WIDEST = 50, 120
SHELL = ("redis-cli ", "celery ", "rabbitmqctl ", "openssl ")
_COLORS = {"ok": "32", "note": "36", "warn": "33", "fail": "31"}
_WORDS = re.compile(r"'[^']*'(?:\"'\"'[^']*')*|\S+")


class Style:
    """How findings are shown: ``width`` in columns, None for one line per text; with or without colour."""

    def __init__(self, width: int | None = None, *, colored: bool = False) -> None:
        self.width = width
        self.colored = colored

    def render(self, finding: Finding) -> str:
        """Return the lines of a finding."""
        code = "" if finding.level == "ok" else f" [{finding.code}]"
        head = f"{finding.level.upper():<5} {finding.subject:<19} "
        blank = " " * INDENT
        lines = self._wrapped(finding.text + code, head, blank)
        if finding.cause and finding.level != "ok":
            lines += self._wrapped(f"why: {finding.cause}", blank, blank + "     ")
        # Lines begin with an arrow, not with a word such as "fix": a finding of level info requires no action.
        for line in finding.lines:
            lines += self._continued(line)
        text = "\n".join(lines)
        return self._paint(finding.level, text) + "\n"

    def conclude(self, findings: Sequence[Finding], code: int, *, interrupted: bool) -> str:
        """Return the last line."""
        counts = Counter(finding.level for finding in findings)
        words = {"fail": "failure", "warn": "warning", "note": "note"}
        sums = [f"{counts[level]} {word}{'s' * (counts[level] != 1)}" for level, word in words.items() if counts[level]]
        end = "interrupted; " if interrupted else ""
        return f"\n{end}{', '.join(sums) or 'nothing to fix'}; exit code {code}\n"

    def _wrapped(self, text: str, first: str, following: str) -> list[str]:
        if self.width is None:
            return [first + text]
        return wrap(
            text, self.width, initial_indent=first, subsequent_indent=following, break_on_hyphens=False,
            break_long_words=False,
        )  # fmt: skip

    def _continued(self, line: str) -> list[str]:
        """Break a shell line where that is possible. Other lines stay as they are."""
        first, following = " " * INDENT + "-> ", " " * (INDENT + 5)
        if self.width is None or not line.startswith(SHELL) or len(first + line) <= self.width:
            return [first + line]
        lines, current = [], first
        for word in _WORDS.findall(line):
            if len(current) + len(word) + 3 > self.width and current.strip() not in {"", "->"}:
                lines.append(f"{current.rstrip()} \\")
                current = following
            current += f"{word} "
        return [*lines, current.rstrip()]

    def _paint(self, level: str, text: str) -> str:
        if not self.colored:
            return text
        word = level.upper()
        return f"\033[{_COLORS[level]}m{word}\033[0m{text[len(word) :]}"


def style_of(stream: TextIO, environ: Mapping[str, str]) -> Style:
    """Return the style for a stream: a terminal's width and colours, or plain lines."""
    if not stream.isatty():
        return Style()
    colored = not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"
    try:
        columns = os.get_terminal_size(stream.fileno()).columns
    except OSError:
        columns = 0
    return Style(min(max(columns or 80, NARROWEST), WIDEST), colored=colored)


def verdict_of(findings: Sequence[Finding]) -> str:
    """Return the worst level of the findings."""
    return max((finding.level for finding in findings), key=LEVELS.index, default="ok")


def describe_check(findings: Sequence[Finding], now: float, code: int, *, interrupted: bool) -> dict[str, Any]:
    """Return the JSON document: version, time (epoch seconds), verdict (the worst level), findings in their order."""
    return {
        "version": __version__,
        "time": now,
        "verdict": verdict_of(findings),
        "exit_code": code,
        "interrupted": interrupted,
        "findings": [
            {
                "level": finding.level,
                "code": finding.code,
                "subject": finding.subject,
                "found": finding.text,
                "cause": "" if finding.level == "ok" else finding.cause,
                "remedy": list(finding.lines),
            }
            for finding in findings
        ],
    }
