# SPDX-License-Identifier: Apache-2.0
"""Count tests that could not run: outcomes that are neither passed nor failed.

A test whose program is not available on this machine is skipped with a reason that begins with COULD_NOT_RUN. The run
prints and counts these at its end (``tests/conftest.py``).
"""

COULD_NOT_RUN = "could not run: "


def count_reasons(reasons: list[str]) -> dict[str, int]:
    """Return how many tests could not run, by reason, from the reasons of all skipped tests."""
    found = [reason.partition(COULD_NOT_RUN)[2] for reason in reasons if COULD_NOT_RUN in reason]
    return {reason: found.count(reason) for reason in sorted(set(found))}
