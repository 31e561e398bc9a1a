# SPDX-License-Identifier: Apache-2.0
"""Values of metrics: samples read from servers, and families of series as they are rendered.

Data only. A sample holds the metric of the catalogue, so a metric that is not declared can't be written.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from msgspec import Struct

from celery_redis_exporter.catalog import Metric
from celery_redis_exporter.records.resolution import NativeCounts

Exemplar = tuple[str, float, float]
"""The task behind an observation: its id, the observed value, and when (epoch seconds).

A plain tuple, because three are made for every task: a NamedTuple costs ten times as much to make.
"""


class Distribution(NamedTuple):
    """A histogram's value: observations per bucket (not cumulative, ``+Inf`` last), their sum, and exemplars.

    ``native`` are the same observations in native buckets, where they are counted in those, too. The parts of a value
    never change: they are kept to see whether the next value is another.
    """

    counts: list[int]
    total: float
    exemplars: list[Exemplar | None] | None = None
    native: NativeCounts | None = None


class Buckets(NamedTuple):
    """A histogram as a server keeps it: observations up to each bound (as it writes them), all of them, their sum."""

    cumulative: tuple[tuple[str, int], ...]
    observed: int
    total: float


class Quantiles(NamedTuple):
    """A summary as a server keeps it: values by quantile (as it writes them), the number of observations, their sum."""

    values: tuple[tuple[str, float], ...]
    observed: int
    total: float


Reading = float | Buckets | Quantiles
"""The value of a series, as a server reports it."""
Value = float | Distribution | Buckets | Quantiles
"""What a series holds; a counter or a gauge holds a number."""


class SeriesView(Protocol):
    """A series as exposition sees it.

    ``labels`` are values in the metric's declared order. ``bounds`` are a histogram's bucket bounds, else
    empty. ``exemplar`` is a counter's latest one (a histogram's travel with its value). ``born`` is when a counter or
    histogram began at 0 (epoch seconds), None if that is not known. ``cache`` and ``packed`` belong to exposition,
    which keeps prepared text and prepared messages there; they start as None.
    """

    labels: tuple[str, ...]
    born: float | None
    bounds: tuple[float, ...]
    exemplar: Exemplar | None
    cache: object
    packed: object


class Family(Struct, frozen=True):
    """One metric with its series and their values at one moment (None: no sample now)."""

    metric: Metric
    series: Sequence[SeriesView]
    values: Sequence[Value | None]


class Sample(Struct, frozen=True, gc=False):
    """One value read from a server; ``labels`` in the metric's declared order.

    A msgspec Struct, because hundreds are made for every scrape: a NamedTuple costs four times as much to make.
    """

    metric: Metric
    labels: tuple[str, ...]
    value: Reading
