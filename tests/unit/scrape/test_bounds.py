# SPDX-License-Identifier: Apache-2.0
"""The bound on the series of a server."""

from celery_redis_exporter.catalog import CATALOG, OVERFLOW, Metric
from celery_redis_exporter.records.samples import Sample
from celery_redis_exporter.scrape.bounds import SampleBounds

ERRORS, LATENCY = CATALOG["redis_errors_total"], CATALOG["redis_latency_spike_last"]
UP = Sample(CATALOG["redis_up"], ("r",), 1)


def errors(counts: dict[str, float], metric: Metric = ERRORS) -> list[Sample]:
    """Return samples by error name."""
    return [UP, *(Sample(metric, ("r", name), count) for name, count in counts.items())]


class Counted:
    """Bounds of three series, and the series that they refused."""

    def __init__(self) -> None:
        self.refused: list[tuple[str, int]] = []
        self.bounds = SampleBounds(3, lambda metric, count: self.refused.append((metric.name, count)))

    def kept(self, samples: list[Sample]) -> dict[str, object]:
        """Return the kept values by the last label."""
        return {sample.labels[-1]: sample.value for sample in self.bounds.apply(samples) if sample is not UP}


def test_the_rest_of_a_counter_is_added_up() -> None:
    """The first series of a counter are kept, the others are summed, and each of those counts as refused per read."""
    counted = Counted()
    many = errors({f"E{number}": number for number in range(6)})
    for _ in range(2):
        assert {"E0": 0, "E1": 1, "E2": 2, OVERFLOW: 12} == counted.kept(many)
        assert UP in counted.bounds.apply(many)
    assert [(ERRORS.name, 3)] * 4 == counted.refused


def test_the_rest_never_falls() -> None:
    """An absent series keeps its place while others are summed, so that none of those leaves the sum."""
    counted = Counted()
    counted.kept(errors({"A": 1, "B": 1, "C": 1, "D": 5, "E": 5}))
    assert {"A": 2, "B": 2, OVERFLOW: 11} == counted.kept(errors({"A": 2, "B": 2, "D": 5, "E": 6}))
    assert {"A": 3, "C": 9, OVERFLOW: 12} == counted.kept(errors({"E": 6, "D": 6, "A": 3, "C": 9}))


def test_within_the_bound_everything_is_kept_again() -> None:
    """Once a server has no more series than the bound, as after a restart, all are shown."""
    counted = Counted()
    counted.kept(errors({"A": 1, "B": 1, "C": 1, "D": 5}))
    assert {"A": 1} == counted.kept(errors({"A": 1}))
    assert {"D": 1, "E": 2, "F": 3} == counted.kept(errors({"D": 1, "E": 2, "F": 3}))


def test_the_rest_of_a_gauge_is_left_out() -> None:
    """Series of a gauge beyond the bound are dropped, because a sum of gauges has no meaning."""
    counted = Counted()
    assert {"0": 0, "1": 1, "2": 2} == counted.kept(errors({f"{number}": number for number in range(5)}, LATENCY))
    assert [(LATENCY.name, 2)] == counted.refused
