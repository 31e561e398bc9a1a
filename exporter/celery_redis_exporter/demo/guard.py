# SPDX-License-Identifier: Apache-2.0
"""End the demo's processes and remove its files if the demo itself was killed.

This is a separate process (``python -m celery_redis_exporter.demo.guard FOLDER``). Standard input is a pipe whose other
end only the demo has. The demo writes the id of each process group that it starts, one per line, and ``done`` after it
has cleaned up itself. If the pipe ends without that, the demo has ended, for example by SIGKILL, and the guard cleans
up. Every POSIX system closes a pipe's end with its owner, so this works on macOS and on Linux. Processes are left
behind only if the guard is killed too.
"""

import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

from celery_redis_exporter.demo.groups import end_groups

DONE = "done"


def watch(lines: Iterable[str], folder: Path) -> bool:
    """Read the lines of the demo until it ends. Return whether there was anything to clean up."""
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
