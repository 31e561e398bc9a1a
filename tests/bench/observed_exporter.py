# SPDX-License-Identifier: Apache-2.0
"""The exporter, with its folding watched: ``python -m tests.bench.observed_exporter FILE [flags of the exporter]``.

Notes of each fold when it ended and the first messages it brought, and writes both to FILE at SIGUSR1, as one JSON
list of [end, stamp] in seconds since the epoch, and forgets them. The stamp is when the first task of the fold was
published, so end - stamp is how long the event that waited longest took until it was counted.
"""

import base64
import json
import re
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from celery_redis_exporter.cli import main
from celery_redis_exporter.clock import SystemClock
from celery_redis_exporter.collectors.events import EventCollector

_STAMP = re.compile(rb'"timestamp": ([0-9.]+)')


class FoldLog:
    """The folds since the last look."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._folds: list[tuple[float, list[bytes]]] = []

    def watch(self) -> None:
        """Let every fold of this process be noted; costs it less than a microsecond each."""
        fold, folds, now = EventCollector.fold, self._folds, SystemClock.now

        def watched(collector: EventCollector, payloads: list[bytes]) -> None:
            fold(collector, payloads)
            folds.append((now(), payloads[:2]))

        EventCollector.fold = watched  # type: ignore[assignment, method-assign]  # the point of this module

    def write(self, *_: object) -> None:
        """Write the folds and forget them; the file appears at once and whole."""
        folds = [(end, max(map(stamp_of, payloads))) for end, payloads in self._folds]
        self._folds.clear()
        part = self._file.with_suffix(".part")
        part.write_text(json.dumps(folds), encoding="ascii")
        part.rename(self._file)


def stamp_of(payload: bytes) -> float:
    """The time stamp of a message's last event; task-sent is stamped in the past, so of two the later one counts."""
    envelope: dict[str, Any] = json.loads(payload)
    return float(_STAMP.findall(base64.b64decode(envelope["body"]))[-1])


def run(argv: Sequence[str]) -> int:
    """Run the exporter, watched; give its exit code."""
    log = FoldLog(Path(argv[0]))
    log.watch()
    signal.signal(signal.SIGUSR1, log.write)
    return main(list(argv[1:]))


if __name__ == "__main__":
    raise SystemExit(run(sys.argv[1:]))
