# SPDX-License-Identifier: Apache-2.0
"""The exporter with a record of its folds: ``python -m tests.bench.observed_exporter FILE [flags of the exporter]``.

Records the end of each fold and its first messages. At SIGUSR1 it writes them to FILE as one JSON list of [end, stamp]
in seconds since the epoch, and clears the record. The stamp is the time when the first task of the fold was published,
so end - stamp is the time until the event that waited longest was counted.
"""

import base64
import json
import re
import signal
import sys
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from celery_redis_exporter.cli import main
from celery_redis_exporter.clock import SystemClock
from celery_redis_exporter.collectors.events import EventCollector

_STAMP = re.compile(rb'"timestamp": ([0-9.]+)')


class FoldLog:
    """The folds since the last write."""

    def __init__(self, file: Path) -> None:
        self._file = file
        # No container for each fold: the garbage collector would visit them, and pause the process that is measured.
        self._ends = array("d")
        self._payloads: list[bytes] = []

    def watch(self) -> None:
        """Record every fold of this process, which costs less than a microsecond each."""
        fold, ends, recorded, now = EventCollector.fold, self._ends, self._payloads, SystemClock.now

        def watched(collector: EventCollector, payloads: list[bytes]) -> None:
            fold(collector, payloads)
            ends.append(now())
            recorded.append(payloads[0])
            recorded.append(payloads[min(1, len(payloads) - 1)])

        EventCollector.fold = watched  # type: ignore[assignment, method-assign]  # the purpose of this module

    def write(self, *_: object) -> None:
        """Write the folds and clear the record; the file is created atomically."""
        stamps = iter(map(stamp_of, self._payloads))
        folds = [(end, max(next(stamps), next(stamps))) for end in self._ends]
        del self._ends[:], self._payloads[:]
        part = self._file.with_suffix(".part")
        part.write_text(json.dumps(folds), encoding="ascii")
        part.rename(self._file)


def stamp_of(payload: bytes) -> float:
    """Return the timestamp of a message's last event; task-sent has an earlier one, so the later of two counts."""
    envelope: dict[str, Any] = json.loads(payload)
    return float(_STAMP.findall(base64.b64decode(envelope["body"]))[-1])


def run(argv: Sequence[str]) -> int:
    """Run the exporter with the record; return its exit code."""
    log = FoldLog(Path(argv[0]))
    log.watch()
    signal.signal(signal.SIGUSR1, log.write)
    return main(list(argv[1:]))


if __name__ == "__main__":
    raise SystemExit(run(sys.argv[1:]))
