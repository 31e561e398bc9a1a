# SPDX-License-Identifier: Apache-2.0
"""Compare the exporter's samples with the expected ones.

Input: samples of /metrics and expected samples. Output: differences. Counts have to be equal; sums of seconds may
differ by the time between an act and its event, as allowed below and as the recorded events show.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from tests.integration.exporters import Samples
from tests.truth.expect import COMPARED, RUNTIME_SUM, RUNTIMES, WAIT_SUM, WAITS

COUNT_OF = {RUNTIME_SUM: RUNTIMES, WAIT_SUM: WAITS}
SECONDS, SECONDS_EACH = 0.5, 0.03
"""How much a sum may differ, and how much more for each observation.

A child writes its facts, and its main process stamps the events 6 ms later on average, up to 0.3 s on a busy machine.
Longer delays on a busier machine are taken from the recorded events and allowed in addition.
"""
Delays = Mapping[tuple[str, frozenset[tuple[str, str]]], float]
NO_DELAYS: Delays = MappingProxyType({})
EXACT = 1e-6
"""How much the runtime of a success may differ per observation; both numbers come from Celery."""


class Difference(NamedTuple):
    """A sample that differs from the expected one."""

    name: str
    labels: Mapping[str, str]
    expected: float
    found: float

    def __str__(self) -> str:
        """Return the difference as a line."""
        labels = ", ".join(f"{name}={value}" for name, value in sorted(self.labels.items()))
        return f"{self.name}{{{labels}}}: expected {self.expected:g}, found {self.found:g}"


def differences(expected: Samples, found: Samples, delays: Delays = NO_DELAYS) -> list[Difference]:
    """Return every compared sample that differs, in a stable order. A sample that is absent counts as 0.

    ``delays`` are seconds by which sums may differ in addition.
    """
    names = {key for samples in (expected, found) for key in samples if key[0] in COMPARED}
    return [
        Difference(name, dict(labels), expected.get((name, labels), 0.0), found.get((name, labels), 0.0))
        for name, labels in sorted(names, key=lambda key: (COMPARED.index(key[0]), sorted(key[1])))
        if not _agrees(name, labels, expected, found, delays.get((name, labels), 0.0))
    ]


def _agrees(name: str, labels: frozenset[tuple[str, str]], expected: Samples, found: Samples, delay: float) -> bool:
    wanted, shown = expected.get((name, labels), 0.0), found.get((name, labels), 0.0)
    if name in COUNT_OF:
        count = expected.get((COUNT_OF[name], labels), 0.0)
        reported = name == RUNTIME_SUM and ("state", "success") in labels
        return abs(wanted - shown) <= (EXACT * count if reported else SECONDS + SECONDS_EACH * count + delay)
    return wanted == shown


def compared(samples: Samples) -> dict[str, tuple[int, float]]:
    """Return the number of compared samples and their sum, by the name of the sample."""
    chosen = {name: [value for (found, _), value in samples.items() if found == name] for name in COMPARED}
    return {name: (len(values), sum(values)) for name, values in chosen.items()}
