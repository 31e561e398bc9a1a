# SPDX-License-Identifier: Apache-2.0
"""Print or write the files that are generated from the package.

Input: the arguments of ``python -m``, a target, and a function that renders its text. Standard library only.
"""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path


def print_or_write(argv: Sequence[str], target: Path, render: Callable[[], str]) -> int:
    """Print the text, or write it to ``target`` with ``--write``; return the exit code."""
    if list(argv) == ["--write"]:
        target.write_text(render(), encoding="utf-8")
    else:
        sys.stdout.write(render())
    return 0
