# SPDX-License-Identifier: Apache-2.0
"""Compare the exporter with the truth: ``python -m tests.truth [--tasks N] [--seed N] [--broker redis]``.

Sends random tasks of every kind to workers of every pool and ends some of the workers. Compares the facts that signal
handlers inside the workers wrote with /metrics, per task, queue and state. Prints the compared samples and their
differences. The exit code is 1 if a difference is not explained. ``--keep FOLDER`` keeps facts, events and logs.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.truth.compare import compared
from tests.truth.explained import EXPLAINED
from tests.truth.run import Outcome, run


def main(argv: Sequence[str]) -> int:
    """Run the comparison, print it, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.truth", description=__doc__)
    parser.add_argument("--tasks", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--broker", choices=("redis", "rabbitmq"), default="redis")
    parser.add_argument("--keep", type=Path, help="a new folder for facts, events and logs")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        outcome = run(folder, options.seed, options.tasks, options.broker)
    sys.stdout.write(render(outcome))
    return 1 if outcome.differences else 0


def render(outcome: Outcome) -> str:
    """Return the outcome as text: compared samples, explained kinds, differences."""
    wanted, found = compared(outcome.expected.samples), compared(outcome.found)
    lines = [
        f"{outcome.sent:,} tasks in {outcome.seconds:.0f} s",
        "",
        "| sample | series | expected | found |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {name} | {series} | {total:,.6g} | {found[name][1]:,.6g} |" for name, (series, total) in wanted.items()
    ]
    lines += ["", "| end | executions and refusals |", "|---|---|"]
    lines += [f"| {kind} | {count:,} |" for kind, count in outcome.kinds.most_common()]
    lines += ["", "| explained kind | events | reason | line of Celery |", "|---|---|---|---|"]
    lines += [
        f"| {row.kind} | {outcome.expected.explained[row]:,} | {row.reason} | celery/{row.file}:{row.line} |"
        for row in EXPLAINED
    ]
    lines += ["", *(f"NOT SENT BY CELERY: {line}" for line in outcome.unsent)]
    lines += [f"WITHOUT AN END: {outcome.unfinished} executions"] if outcome.unfinished else []
    lines += [*(f"DIFFERS: {difference}" for difference in outcome.differences)]
    lines += [] if outcome.differences else ["nothing differs"]
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
