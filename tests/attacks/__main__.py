# SPDX-License-Identifier: Apache-2.0
"""Attack an exporter in each known way, and print the cost.

``python -m tests.attacks [--seconds 60] [--calm 60] [--only NAME ...]``. Each attack has a dedicated exporter, with
the memory limit of the deployment files. Meanwhile a scraper scrapes each second. A short run is part of the tests.
"""

import argparse
import sys

from tests.attacks.situations import MOST_MIB, MOST_SECONDS, SITUATIONS, Outcome, strike

HEAD = "| attack | before | at most | a minute after | scrapes | p99 |\n|---|---|---|---|---|---|\n"


def row(outcome: Outcome) -> str:
    """Return a line of the table."""
    after = "" if outcome.after is None else f"{outcome.after} MiB"
    seen = outcome.seen
    return (
        f"| {outcome.situation.words} | {outcome.before} MiB | {outcome.most} MiB | {after} "
        f"| {len(seen.seconds)} | {seen.p99:.2f} s |\n"
    )


def main(argv: list[str]) -> int:
    """Run the attacks and print a table; return 1 if a goal is missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.attacks")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument(
        "--calm", type=float, default=60, help="seconds after which memory has to be back; 0: not measured"
    )
    parser.add_argument("--only", nargs="+", choices=SITUATIONS, default=list(SITUATIONS))
    options = parser.parse_args(argv)
    limits, failed = set(), False
    sys.stdout.write(HEAD)
    for name in options.only:
        outcome = strike(name, options.seconds, options.calm)
        wrong = outcome.wrong()
        sys.stdout.write(row(outcome))
        sys.stdout.flush()
        sys.stderr.write(f"{name}: {outcome.times:,} times, {wrong or 'nothing is wrong'}\n")
        limits.add(outcome.limit)
        failed = failed or bool(wrong)
    sys.stdout.write(f"\nwithin {', '.join(sorted(limits))}; goals: {MOST_MIB} MiB, {MOST_SECONDS:g} s\n")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
