# SPDX-License-Identifier: Apache-2.0
"""A complete truth run.

Input: a folder, a seed, a number of tasks, a kind of broker. Output: the compared samples and their differences.
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
from tests.truth.fleet import BrokerKind, TruthFleet
from tests.truth.generate import story
from tests.truth.play import play
from tests.truth.truth import begin_unwritten, settle, tell

AGREES_WITHIN = 30.0


@dataclass
class Outcome:
    """The outcome of a run.

    ``kinds`` counts executions and refusals by state. ``unsent`` lists differences between Celery's events and the
    facts, and ``unfinished`` counts executions without a known end: both mean that a kind is not explained yet.
    """

    sent: int
    expected: Expected
    found: Samples
    differences: list[Difference]
    kinds: Counter[str]
    unsent: list[str]
    seconds: float

    @property
    def unfinished(self) -> int:
        """Return the number of executions without a known end."""
        return self.kinds["none"]


def run(folder: Path, seed: int, number: int, kind: BrokerKind = "redis") -> Outcome:
    """Start a fleet, play a story on it, and compare."""
    clock = SystemClock()
    begun = clock.monotonic()
    with ExitStack() as ending:
        fleet = TruthFleet(folder, ending, kind)
        sent = play(fleet, story(seed, number))
        with suppress(AssertionError):  # remaining differences are the result
            eventually(lambda: not _judge(fleet, sent, 0.0).differences, AGREES_WITHIN)
        return _judge(fleet, sent, clock.monotonic() - begun)


def _judge(fleet: TruthFleet, sent: int, seconds: float) -> Outcome:
    truth, events = tell(fleet.reader.read()), Events.of(fleet.record)
    killed = {node: pid for node, (scene, pid) in fleet.endings.items() if scene == "kill"}
    begin_unwritten(truth, events.unwritten(truth, killed))
    settle(truth, fleet.endings)
    expected = expect(truth, Reported(events, fleet.endings, fleet.pids))
    found = fleet.exporter.metrics("celery_")
    kinds = Counter(run.state or "none" for run in truth.executions)
    kinds.update(fact.detail or fact.kind for fact in truth.refusals)
    living = {node: pid for node, pid in fleet.pids.items() if node not in fleet.endings}
    unsent = events.disagreements(truth, living)
    return Outcome(sent, expected, found, differences(expected.samples, found, expected.delays), kinds, unsent, seconds)
