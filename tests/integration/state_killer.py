# SPDX-License-Identifier: Apache-2.0
"""Kill processes that write a state file with SIGKILL, again and again, and check the file after each kill.

    python -m tests.integration.state_killer PATH KILLS

Input: a path that does not exist. Output: a line of JSON with the number of half-written new files beside the path, and
the duration of a write. The exit code is 1 as soon as a file can't be read.
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
"""The system calls of a write."""
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
    """Write one file after another. Never returns."""
    file = StateFile(path)
    os.write(ready, b"!")
    while True:
        for content in files:
            file.write(content)


def end_at(step: int, part: float) -> None:
    """Let this process kill itself at its ``step``th system call. Of a call that writes, ``part`` is done before."""
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
    """Fork a process that writes, and kill it this many seconds after its first write began."""
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
    """Fork a process that kills itself at a step of a write."""
    child = os.fork()
    if not child:
        file = StateFile(path)
        end_at(step, part)
        while True:
            file.write(files[step % len(files)])
    os.waitpid(child, 0)


def main(path: str, kills: int) -> int:
    """Kill half of the processes after some time, and the others at a step."""
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
        left = StateFile(path)  # the killed process no longer locks it
        content = left.read()
        left.close()
        if content not in files:
            return 1
        decode_state(content)
    sys.stdout.write(json.dumps({"halves": halves, "write_seconds": took, "bytes": len(files[0])}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
