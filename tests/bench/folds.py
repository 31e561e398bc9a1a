# SPDX-License-Identifier: Apache-2.0
"""Read the folds that ``observed_exporter`` recorded.

Input: a running subject. Output: its folds since the last read.
"""

import json
import signal
from pathlib import Path
from typing import NamedTuple

from tests.bench.subjects import Subject
from tests.bench.workbench import Workbench
from tests.support.waiting import eventually


class Fold(NamedTuple):
    """One fold: its ``end``, and the ``stamp`` of its first message, in seconds since the epoch."""

    end: float
    stamp: float


def read_folds(bench: Workbench, subject: Subject) -> list[Fold]:
    """Return the folds since the last read, and clear the subject's record."""
    file = bench.folder / "folds.json"
    file.unlink(missing_ok=True)
    subject.process.signal(signal.SIGUSR1)
    eventually(file.exists, within=60)
    return [Fold(*pair) for pair in json.loads(Path(file).read_text(encoding="ascii"))]


def longest_wait(folds: list[Fold], start: float, end: float) -> float:
    """Return the longest time in seconds that an event waited for its fold, for the folds that ended in a time span."""
    return max((fold.end - fold.stamp for fold in folds if start <= fold.end <= end), default=0.0)
