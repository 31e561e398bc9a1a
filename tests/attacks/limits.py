# SPDX-License-Identifier: Apache-2.0
"""Start a program with a memory limit: in a memory cgroup if one can be made.

Without a cgroup the size of its data is limited (RLIMIT_DATA). That counts the memory that the program reserved, not
what it uses, and includes the stacks of its threads, so that the limit has to be higher.
"""

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

MIB = 2**20
STACKS_MIB = 512
"""Bytes that the stacks of 64 threads reserve."""
_ROOTS = (
    (Path("/sys/fs/cgroup"), "memory.max"),  # version 2
    (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"),  # version 1
)


@dataclass(frozen=True, slots=True)
class MemoryLimit:
    """A limit: its description for the table, and the start of a command that runs a program within it."""

    words: str
    command: Sequence[str]


@contextlib.contextmanager
def limited_memory(mib: int) -> Iterator[MemoryLimit]:
    """Yield a limit for a with block; the program must have ended at the end of the block."""
    for root, setting in _ROOTS:
        group = root / f"attacks-{os.getpid()}"
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            if (group / "cgroup.procs").exists() and _is_set(group / setting, mib):
                enters = f'echo $$ > "{group / "cgroup.procs"}" && exec "$@"'
                yield MemoryLimit(f"a memory cgroup of {mib} MiB", ("sh", "-c", enters, "sh"))
                return
        finally:
            with contextlib.suppress(OSError):
                group.rmdir()
    most = mib + STACKS_MIB
    code = (
        "import os, resource, sys; "
        f"resource.setrlimit(resource.RLIMIT_DATA, ({most * MIB}, {most * MIB})); os.execvp(sys.argv[1], sys.argv[1:])"
    )
    yield MemoryLimit(f"RLIMIT_DATA of {most} MiB, no memory cgroup can be made", (sys.executable, "-c", code))


def _is_set(setting: Path, mib: int) -> bool:
    try:
        setting.write_text(str(mib * MIB), encoding="utf-8")
    except OSError:
        return False
    return True
