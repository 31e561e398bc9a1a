# SPDX-License-Identifier: Apache-2.0
"""``python -m tests.key_space [--keys 2000000] [--runs 100] [--seed 1]``.

Prints how often and how far the estimates miss the true sizes.
"""

import argparse
import random
import sys
from collections import defaultdict

from tests.key_space.simulation import Outcome, populate, sweep_once


def main() -> None:
    """Run the simulation, and print one line per group."""
    parser = argparse.ArgumentParser(prog="python -m tests.key_space", description=__doc__)
    parser.add_argument("--keys", type=int, default=2_000_000)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    keys = populate(options.keys, options.seed)
    found: dict[str, list[Outcome]] = defaultdict(list)
    for run in range(options.runs):
        random.Random(f"{options.seed}/{run}").shuffle(keys)  # noqa: S311 -- a simulation
        for outcome in sweep_once(keys):
            found[outcome.group].append(outcome)
    for group, outcomes in sorted(found.items()):
        covered = sum(outcome.is_covered for outcome in outcomes)
        worst = max(outcome.miss for outcome in outcomes)
        wide = sum(outcome.error for outcome in outcomes) / len(outcomes)
        sys.stdout.write(
            f"{group:<24} {covered} of {len(outcomes)} intervals contain the truth, "
            f"largest miss {worst:.1%}, mean half width {wide:.1%}\n"
        )


if __name__ == "__main__":
    main()
