# SPDX-License-Identifier: Apache-2.0
"""Ends processes that write a state file by SIGKILL, again and again, and checks what each leaves.

    python -m tests.integration.state_killer PATH KILLS

Takes a path that does not exist, prints a line of JSON: how many ends left a half-written new file beside the path,
and how long a write takes. Ends with 1 as soon as a file can't be read.
"""

import json
import os
import select
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from celery_redis_exporter.clock import SystemClock
from celery_redis_exporter.decode.saved_state import decode_state, encode_state
from celery_redis_exporter.records.saved_state import SavedSeries, SavedState
from celery_redis_exporter.sources.saved_state import StateFile

SERIES = 10_000
STEPS = ("open", "fchmod", "write", "fsync", "close", "replace")
"""Calls of the operating system that a write consists of."""
WRITES_PER_KILL = 2


def contents() -> list[bytes]:
    """Return three files of different states."""
    rows = [SavedSeries((f"task-{number}", "queue"), number, 1.5) for number in range(SERIES)]
    states = [
        SavedState(float(number), "b", "n", [], [], [], [], [], {"celery_tasks_sent_total": rows}, {})
        for number in range(3)
    ]
    return [encode_state(state, clean=False) for state in states]


def write_for_ever(path: str, files: list[bytes], ready: int) -> None:
    """Write one file after the other; never returns."""
    file = StateFile(path)
    os.write(ready, b"!")
    while True:
        for content in files:
            file.write(content)


def end_at(step: int, part: float) -> None:
    """Let this process end by SIGKILL at its ``step``th call of the operating system, of a write after a ``part``."""
    left = [step]

    def ending(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def called(*arguments: Any) -> Any:  # noqa: ANN401 -- as the original
            left[0] -= 1
            if left[0] < 0:
                if name == "write":
                    call(arguments[0], arguments[1][: int(len(arguments[1]) * part)])
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments)

        return called

    for name in STEPS:
        setattr(os, name, ending(name, getattr(os, name)))


def kill_after(path: str, files: list[bytes], seconds: float) -> None:
    """Fork a process that writes, and kill it a time after its first write began."""
    ready, writer = os.pipe()
    child = os.fork()
    if not child:
        write_for_ever(path, files, writer)
    os.close(writer)
    os.read(ready, 1)
    select.select([], [], [], seconds)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(ready)


def kill_at(path: str, files: list[bytes], step: int, part: float) -> None:
    """Fork a process that ends at a step of a write."""
    child = os.fork()
    if not child:
        file = StateFile(path)
        end_at(step, part)
        while True:
            file.write(files[step % len(files)])
    os.waitpid(child, 0)


def main(path: str, kills: int) -> int:
    """Kill half of the processes at points of time, the others at steps."""
    files, clock = contents(), SystemClock()
    new = Path(path).with_name(f"{Path(path).name}.new")
    first = StateFile(path)
    started = clock.monotonic()
    first.write(files[0])
    took = clock.monotonic() - started
    first.close()
    halves = 0
    for number in range(kills):
        if number % 2:
            kill_after(path, files, WRITES_PER_KILL * took * number / kills)
        else:
            kill_at(path, files, number // 2 % (3 * len(STEPS)), number / kills)
        halves += new.exists()
        left = StateFile(path)  # which the process that was killed does not keep
        content = left.read()
        left.close()
        if content not in files:
            return 1
        decode_state(content)
    sys.stdout.write(json.dumps({"halves": halves, "write_seconds": took, "bytes": len(files[0])}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
