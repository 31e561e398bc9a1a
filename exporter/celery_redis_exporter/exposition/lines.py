"""Parts of a line: names, labels and numbers as prometheus_client writes them.

Takes metrics, series and values, gives text. Keeps the heads of metrics and nothing else.
"""

from functools import cache
from typing import cast

from prometheus_client.utils import floatToGoString

from celery_redis_exporter.catalog import Kind, Metric
from celery_redis_exporter.records.samples import SeriesView

# A dictionary finds 7 and 7.0 alike, faster than either is formatted. 0 is left out because it would find -0.0 too.
SMALL_NUMBERS: dict[float, str] = {number: f"{number}.0" for number in range(1, 1024)}
GO_EXPONENTS = 1_000_000
"""From here up, and for what isn't finite, Go's format differs from Python's repr."""


def render_number(value: float) -> str:
    """Format a number as Go does, and so prometheus_client: ``1.0``, ``1e+06``, ``+Inf``, ``NaN``."""
    value = float(value)
    if -1e300 < value < GO_EXPONENTS:
        return repr(value)
    return cast("str", floatToGoString(value))  # type: ignore[no-untyped-call]


@cache
def render_head(metric: Metric, *, openmetrics: bool) -> str:
    """HELP and TYPE.

    A counter whose name lacks ``_total`` is no counter to OpenMetrics, hence ``unknown`` there. In text it stays a
    counter, where prometheus_client, which can't tell the formats apart, writes ``untyped``.
    """
    name, kind = metric.name, str(metric.kind)
    if openmetrics and metric.kind is Kind.COUNTER:
        kind = "counter" if name.endswith("_total") else "unknown"
        name = name.removesuffix("_total")
    return head_of(name, kind, metric.help, openmetrics=openmetrics)


def head_of(name: str, kind: str, text: str, *, openmetrics: bool) -> str:
    """HELP and TYPE of a family with these."""
    text = text.replace("\\", r"\\").replace("\n", r"\n")
    if openmetrics:
        text = text.replace('"', r"\"")
    return f"# HELP {name} {text}\n# TYPE {name} {kind}\n"


def pairs_of(metric: Metric, series: SeriesView) -> dict[str, str]:
    """The labels of a series, by name."""
    return dict(zip(metric.label_names, series.labels, strict=True))


def render_prefix(name: str, pairs: dict[str, str]) -> str:
    """What stands before the number of a sample, without the space."""
    return f"{name}{{{render_pairs(pairs)}}}" if pairs else name


def render_pairs(pairs: dict[str, str]) -> str:
    """Render labels, in the order of their names, without braces."""
    return ",".join([f'{label}="{escape(value)}"' for label, value in sorted(pairs.items())])


def escape(value: str) -> str:
    """Escape a label's value."""
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
