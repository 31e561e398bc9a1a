# SPDX-License-Identifier: Apache-2.0
"""Facts: the acts of the processes of a truth run, one JSON line each, in a file per process.

Input: a folder, and the acts of a process. Output: lines that survive a SIGKILL, and all facts of a folder in the order
of their times. A line is written by a single write to a file opened with O_APPEND.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from celery_redis_exporter.clock import SystemClock

FOLDER, NODE = "TRUTH_FACTS", "TRUTH_NODE"
"""Environment variables: the folder of the facts, and the name under which a process writes them."""

CLOCK = SystemClock()


class Fact(NamedTuple):
    """One fact. ``at`` is in epoch seconds; fields that do not apply to its kind are empty.

    ``node`` is the worker or publisher that wrote it, and ``process`` its file. ``publication`` identifies one
    publication of a task id, and ``run`` one execution. ``detail`` depends on the kind: the state of an end, the class
    of an exception, the reason of a revocation, or the eta of a publication. ``value`` is a runtime in seconds.
    """

    kind: str
    at: float
    node: str = ""
    process: str = ""
    id: str = ""
    task: str = ""
    queue: str = ""
    publication: str = ""
    run: str = ""
    detail: str = ""
    value: float = 0.0

    @property
    def pid(self) -> int:
        """Return the id of the process that wrote it."""
        return int(self.process.rpartition(".")[2])


class FactWriter:
    """Appends facts to a file of this process. A forked child opens another file."""

    def __init__(self, folder: Path, node: str) -> None:
        self.folder = folder
        self.node = node
        self._descriptor = -1
        self._pid = 0

    def write(self, fact: Fact) -> None:
        """Append a fact, with this process's node."""
        if os.getpid() != self._pid:
            self._pid = os.getpid()
            path = self.folder / f"{self.node}.{self._pid}.jsonl"
            self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        line = json.dumps(fact._replace(node=self.node, process=f"{self.node}.{self._pid}"))
        os.write(self._descriptor, line.encode() + b"\n")


class FactReader:
    """Reads the facts of a folder as they are written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.facts: list[Fact] = []
        self._offsets: dict[Path, int] = {}

    def read(self) -> list[Fact]:
        """Return all facts so far, in the order in which they were read; the list grows with each call."""
        for path in sorted(self.folder.glob("*.jsonl")):
            self.facts += self._news(path)
        return self.facts

    def _news(self, path: Path) -> Iterator[Fact]:
        """Yield the complete lines that were appended to a file since the last call."""
        with path.open("rb") as file:
            file.seek(self._offsets.get(path, 0))
            text = file.read()
        whole, newline, _ = text.rpartition(b"\n")
        self._offsets[path] = self._offsets.get(path, 0) + len(whole) + len(newline)
        for line in whole.splitlines():
            yield Fact(*json.loads(line))
