"""A truth run from end to end.

Input: a folder, a seed, a number of tasks, a kind of broker. Output: what was compared, and what differs.
"""

from collections import Counter
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from celery_redis_exporter.clock import SystemClock
from tests.integration.exporters import Samples
from tests.support.waiting import eventually
from tests.truth.compare import Difference, differences
from tests.truth.events import Events
from tests.truth.expect import Expected, Reported, expect
from tests.truth.explained import Explained
from tests.truth.fleet import BrokerKind, TruthFleet
from tests.truth.generate import story
from tests.truth.play import play
from tests.truth.truth import Truth, settle, tell

AGREES_WITHIN = 30.0


@dataclass
class Outcome:
    """What came of a run. ``kinds`` counts executions and refusals by state."""

    sent: int
    truth: Truth
    expected: Expected
    found: Samples
    differences: list[Difference]
    explained: Counter[Explained]
    kinds: Counter[str]
    seconds: float


def run(folder: Path, seed: int, number: int, kind: BrokerKind = "redis") -> Outcome:
    """Start a fleet, play a story on it, and compare."""
    clock = SystemClock()
    begun = clock.monotonic()
    with ExitStack() as ending:
        fleet = TruthFleet(folder, ending, kind)
        sent = play(fleet, story(seed, number))
        with suppress(AssertionError):  # differences that stay are the result
            eventually(lambda: not _judge(fleet, sent, 0.0).differences, AGREES_WITHIN)
        return _judge(fleet, sent, clock.monotonic() - begun)


def _judge(fleet: TruthFleet, sent: int, seconds: float) -> Outcome:
    truth = tell(fleet.reader.read())
    settle(truth, fleet.endings)
    expected = expect(truth, Reported(Events.of(fleet.record), fleet.endings))
    found = fleet.exporter.metrics("celery_")
    kinds = Counter(run.state or "none" for run in truth.executions)
    kinds.update(fact.detail or fact.kind for fact in truth.refusals)
    return Outcome(
        sent, truth, expected, found, differences(expected.samples, found), expected.explained, kinds, seconds
    )
