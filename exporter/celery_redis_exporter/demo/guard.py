"""The guard: ends the demo's processes and removes its files when the demo itself was killed.

A process of its own (``python -m celery_redis_exporter.demo.guard FOLDER``). Standard input is a pipe of which the
demo alone holds the other end: the demo writes the id of each process group that it starts, one a line, and ``done``
when it has cleaned up itself. If the pipe ends without that, the demo is gone, by SIGKILL for example, and the guard
cleans up. A pipe's end is closed with its owner on every POSIX system, so this holds on macOS as it does on Linux; only
killing the guard too leaves processes behind.
"""

import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

from celery_redis_exporter.demo.groups import end_groups

DONE = "done"


def watch(lines: Iterable[str], folder: Path) -> bool:
    """Read what the demo writes until it ends; give whether there was anything to clean up."""
    groups = []
    for line in lines:
        word = line.strip()
        if word == DONE:
            return False
        groups.append(int(word))
    end_groups(groups)
    shutil.rmtree(folder, ignore_errors=True)
    return True


if __name__ == "__main__":
    watch(sys.stdin, Path(sys.argv[1]))
