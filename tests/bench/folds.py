# SPDX-License-Identifier: Apache-2.0
"""Reads what ``observed_exporter`` noted of its folds.

Takes a running subject, gives its folds since the last look.
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
    """Give the folds since the last look, and let the subject forget them."""
    file = bench.folder / "folds.json"
    file.unlink(missing_ok=True)
    subject.process.signal(signal.SIGUSR1)
    eventually(file.exists, within=60)
    return [Fold(*pair) for pair in json.loads(Path(file).read_text(encoding="ascii"))]


def longest_wait(folds: list[Fold], start: float, end: float) -> float:
    """The longest time in seconds that an event waited for its fold, of those that were folded in a stretch of time."""
    return max((fold.end - fold.stamp for fold in folds if start <= fold.end <= end), default=0.0)
