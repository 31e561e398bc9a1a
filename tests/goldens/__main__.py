# SPDX-License-Identifier: Apache-2.0
"""Compare the project's output with its goldens: ``python -m tests.goldens``; exit code 1 and a diff if they differ.

``--write`` writes them again, after an intended change. ``--record`` first records the replies of two real servers,
which needs redis-server.
"""

import difflib
import sys
from collections.abc import Mapping

from tests.goldens.captures import FOLDER, REPLIES, capture

SHOWN_LINES = 60
"""Lines of a diff that are printed for each file."""


def differences(captured: Mapping[str, str]) -> list[str]:
    """Return a unified diff for each golden that differs, is missing, or is no longer generated."""
    found = []
    recorded = {
        path.relative_to(FOLDER).as_posix(): path.read_text(encoding="utf-8")
        for path in sorted(FOLDER.rglob("*"))
        if path.is_file() and path != REPLIES
    }
    for name in sorted(captured.keys() | recorded.keys()):
        before, after = recorded.get(name, ""), captured.get(name, "")
        if before != after:
            names = f"golden/{name}", f"now/{name}"
            lines = difflib.unified_diff(before.splitlines(), after.splitlines(), *names, n=1, lineterm="")
            found.append("\n".join([*lines][:SHOWN_LINES]))
    return found


def write() -> None:
    """Write every golden."""
    for name, text in capture().items():
        path = FOLDER / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def main(arguments: list[str]) -> int:
    """Compare or write the goldens; return the exit code."""
    if "--record" in arguments:
        from tests.goldens.record import record

        record()
    if {"--write", "--record"} & set(arguments):
        write()
        return 0
    found = differences(capture())
    sys.stdout.write("\n\n".join(found) + ("\n" if found else ""))
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
