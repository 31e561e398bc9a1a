# SPDX-License-Identifier: Apache-2.0
"""Compile patterns of names and their replacements in Prometheus's syntax. Raises ValueError for invalid ones."""

import re

_REFERENCE = re.compile(r"\$(?:\{(\w+)\}|(\d+))")


def compile_pattern(text: str) -> re.Pattern[str]:
    """Compile a regular expression. Raises ValueError with the error of the pattern."""
    try:
        return re.compile(text)
    except re.error as error:
        raise ValueError(f"has a faulty regular expression {text!r}: {error}") from None


def read_replacement(pattern: re.Pattern[str], text: str) -> str:
    """Convert groups in Prometheus's syntax, ``$1`` or ``${name}``, to Python's. Raises ValueError for others."""
    pieces, end = [], 0
    for found in _REFERENCE.finditer(text):
        group = found[1] or found[2]
        known = int(group) <= pattern.groups if group.isdigit() else group in pattern.groupindex
        if not known:
            raise ValueError(f"refers to ${group}, which {pattern.pattern!r} does not have")
        pieces += [text[end : found.start()].replace("\\", r"\\"), rf"\g<{group}>"]
        end = found.end()
    return "".join([*pieces, text[end:].replace("\\", r"\\")])
