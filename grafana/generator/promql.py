# SPDX-License-Identifier: Apache-2.0
"""PromQL as all dashboards write it: every selector within the variables, every exporter of a pair counted once.

Takes names of metrics, gives expressions. Raises KeyError for a metric that the catalogue does not have.
"""

from dataclasses import dataclass

from celery_redis_exporter.alerts import task_rates
from celery_redis_exporter.alerts.rule import GROUP_BY, OF_SERIES
from celery_redis_exporter.alerts.selectors import GUARDED
from celery_redis_exporter.catalog import CATALOG, NATIVE, Kind
from celery_redis_exporter.catalog.tasks import BY_WORKER

RATE = "$__rate_interval"
STEPS_OF_RANGE = "$__range:$__interval"
"""The time shown, in steps that are as long as the window of a recorded rate, or shorter."""
RANGE = "$__range"
ALERTS_WINDOW = "10m"
"""What the alerts about tasks look at; the tiles that are coloured by their thresholds do as well."""
SUFFIXES = ("_bucket", "_count", "_sum")
VARIABLES = GROUP_BY
"""Every dashboard has a variable for each label that distinguishes applications; All matches where it is absent."""
BY = ", ".join(GROUP_BY)
SERVER = f"{BY}, redis"
QUEUE = f"{BY}, queue"
WORKER = f"{BY}, worker"
OF_PROCESS = ("up", "celery_exporter_build_info", "process_", "python_", "scrape_")
"""Beginnings of metrics that a process has once, so that they lack the label of an application."""
SCOPE = ", ".join(f'{label}=~"${label}"' for label in VARIABLES)
SCOPE_OF_PROCESS = ", ".join(f'{label}=~"${label}"' for label in VARIABLES if label not in OF_SERIES)
SCOPE_OF_SHARED = SCOPE.replace("$application", "$application|")
"""Also matches series without the label application: those of servers and processes that several applications share."""
OF_TASK = ("task", "queue")
BEFORE_PROMETHEUS = "40y"
NO_BROKER = 'redis!~"broker(@.+)?"'
"""There workers look for messages, and an empty queue is a miss."""
ENDED = 'state=~"success|failure"'
"""Executions of which a share can fail: those that were not taken back."""
FAILED = 'state="failure"'


def _row(name: str) -> str:
    """Give the metric of a sample, whose name may have a histogram's ending."""
    for suffix in SUFFIXES:
        row = CATALOG.get(name.removesuffix(suffix))
        if name.endswith(suffix) and row is not None and row.kind is Kind.HISTOGRAM:
            return row.name
    return CATALOG[name].name


def identity(name: str) -> tuple[str, ...]:
    """Give the labels that tell the series of one metric apart, but not which exporter saw them."""
    metric = CATALOG[_row(name)]
    worker = ("worker",) if metric in BY_WORKER else ()
    bucket = ("le",) if name.endswith("_bucket") else ()
    return (*GROUP_BY, *(label.name for label in metric.labels), *worker, *bucket)


def is_recorded(expr: str) -> bool:
    """Whether an expression reads recorded rates."""
    return any(row.record in expr for row in task_rates.RECORDINGS)


def over(by: str) -> str:
    """Give the grouping of an aggregation, nothing for all together."""
    return f" by ({by}) " if by else ""


def ratio(part: str, whole: str) -> str:
    """Divide; there is no result where there is nothing to divide by."""
    return f"{part} / ({whole} > 0)"


def hit_rate(scope: "Scope", by: str = "") -> str:
    """Return the share of look-ups that found their key, without those on brokers and those of exporters."""
    hits, misses = (_of_clients(scope, name, found, by) for name, found in (("hits", "hit"), ("misses", "miss")))
    return ratio(hits, f"({hits} + {misses})")


def _of_clients(scope: "Scope", name: str, found: str, by: str) -> str:
    counted = scope.rate(f"redis_keyspace_{name}_total", by, NO_BROKER)
    own = scope.select("celery_exporter_redis_lookups_total", f'found="{found}"', RATE)
    return f"clamp_min({counted} - sum{over(by)}(rate({own})) or {counted}, 0)"


def last_week(expr: str) -> str:
    """Return the same a week earlier; every selector has a range, or none has."""
    return expr.replace("]", "] offset 1w") if "]" in expr else expr.replace("}", "} offset 1w")


@dataclass(frozen=True, slots=True)
class Scope:
    """What a dashboard is narrowed down to: a variable for each of these labels, where a metric has the label."""

    labels: tuple[str, ...] = ()

    def select(self, name: str, where: str = "", window: str = "") -> str:
        """Select a metric within the variables."""
        if name.startswith(OF_PROCESS):
            matchers = [SCOPE_OF_PROCESS]
        else:
            own = identity(name)
            scope = SCOPE_OF_SHARED if "redis" in own else SCOPE
            matchers = [scope, *(f'{label}=~"${label}"' for label in self.labels if label in own)]
            only_ours = "redis" if name.startswith("redis_") else GUARDED.get(name)
            matchers += [f'{only_ours}!=""'] if only_ours else []
        text = f"{name}{{{', '.join([*matchers, *([where] if where else [])])}}}"
        return f"{text}[{window}]" if window else text

    def gauge(self, name: str, by: str = "", where: str = "", how: str = "sum") -> str:
        """Aggregate a gauge; what two exporters see of one application counts once."""
        selected = self.select(name, where)
        return f"max{over(by)}({selected})" if how == "max" else f"{how}{over(by)}({self._once(name, selected)})"

    def rate(self, name: str, by: str = "", where: str = "", window: str = RATE) -> str:
        """Give how much a counter grows in a second."""
        return f"sum{over(by)}({self._once(name, f'rate({self.select(name, where, window)})')})"

    def buckets(self, histogram: str) -> str:
        """Return the observations of each bucket between two samples of a graph, native ones if there are any."""
        classic = self.increase(f"{histogram}_bucket", "le", window=RATE)
        if CATALOG[histogram] not in NATIVE:
            return classic
        return f"sum(increase({self.select(histogram, window=RATE)})) or on () {classic}"

    def recorded(self, name: str, by: str = "", where: str = "", *, whole: bool = False) -> str:
        """Return the recorded rate of a counter; with ``whole`` a multiple of its growth over the time shown."""
        labels = (*GROUP_BY, *(label for label in self.labels if label in OF_TASK))
        matchers = ", ".join([*(f'{label}=~"${label}"' for label in labels), *([where] if where else [])])
        selected = f"{task_rates.recorded_rate(name)}{{{matchers}}}"
        return f"sum{over(by)}({f'sum_over_time({selected}[{STEPS_OF_RANGE}])' if whole else selected})"

    def recorded_quantile(self, share: float, name: str, by: str = "", *, whole: bool = False) -> str:
        """Return a quantile of a recorded histogram, for each point or the time shown; nothing without observations."""
        buckets = self.recorded(f"{name}_bucket", f"{by}, le" if by else "le", whole=whole)
        return f"histogram_quantile({share:g}, {buckets}) >= 0"

    def recorded_mean(self, name: str, by: str = "", *, whole: bool = False) -> str:
        """Return the mean of a recorded histogram, as above."""
        return ratio(self.recorded(f"{name}_sum", by, whole=whole), self.recorded(f"{name}_count", by, whole=whole))

    def exemplars(self, histogram: str) -> str:
        """Return what selects a histogram, whose exemplars Grafana reads, and reads no sample: there were none.

        Exemplars of a native histogram belong to the only series that it has.
        """
        selected = (self.select(name, window=RATE) for name in (histogram, f"{histogram}_bucket"))
        return " or on () ".join(f"rate({one} offset {BEFORE_PROMETHEUS})" for one in selected)

    def increase(self, name: str, by: str = "", where: str = "", window: str = RANGE) -> str:
        """Give how much a counter grew."""
        return f"sum{over(by)}({self._once(name, f'increase({self.select(name, where, window)})')})"

    def quantile(self, share: float, name: str, by: str = "", window: str = RATE) -> str:
        """Return a quantile of a native histogram, or of a classic one; nothing without observations."""
        # An exporter more or less makes no difference to a quantile. NaN is no greater than 0, and goes.
        rates = [f"sum{over(by)}(rate({self.select(name, '', window)}))"]
        rates.append(f"sum by ({f'{by}, le' if by else 'le'}) (rate({self.select(f'{name}_bucket', '', window)}))")
        return " or ".join(f"histogram_quantile({share:g}, {rate}) >= 0" for rate in rates)

    def mean(self, name: str, by: str = "", window: str = RATE) -> str:
        """Return the mean of a native histogram, or of a classic one; nothing without observations."""
        native = f"rate({self.select(name, '', window)})"
        total, count = (f"sum{over(by)}(histogram_{part}({native}))" for part in ("sum", "count"))
        classic = [f"sum{over(by)}(rate({self.select(f'{name}_{part}', '', window)}))" for part in ("sum", "count")]
        return f"{ratio(total, count)} or {ratio(*classic)}"

    def age(self, name: str, by: str = "", where: str = "") -> str:
        """Give how long ago a time stamp was, in seconds."""
        return f"time() - max{over(by)}({self.select(name, where)})"

    def mean_gauge(self, name: str, by: str, where: str = "") -> str:
        """Give the mean of a gauge since the last sample of a graph, of which one value alone says little."""
        return f"max by ({by}) (avg_over_time({self.select(name, where, RATE)}))"

    def _once(self, name: str, expr: str) -> str:
        return f"max by ({', '.join(identity(name))}) ({expr})"


def greatest(expr: str) -> str:
    """Give the greatest of each sample of a graph and what came since the one before: the teeth of a saw."""
    return f"max_over_time(({expr})[{RATE}:])"


def memory_limit(scope: Scope) -> str:
    """Give what a Redis server's memory is measured against: its limit, an assumed one, or the machine's memory."""
    limit = scope.gauge("celery_exporter_redis_memory_limit_bytes", SERVER, how="max")
    machine = scope.gauge("redis_total_system_memory_bytes", SERVER, how="max")
    return f"({limit} or {machine} > 0)"


def memory_share(scope: Scope) -> str:
    """Give the memory of each Redis server as a share of its limit."""
    return f"{scope.gauge('redis_memory_used_bytes', SERVER, how='max')} / {memory_limit(scope)}"
