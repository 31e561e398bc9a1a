# SPDX-License-Identifier: Apache-2.0
"""Parse PromQL: which metrics an expression reads, and which labels its result has.

Input: an expression, and the labels of every metric by sample name. Output: label sets. Fails for a metric or a label
that does not exist, and for a join that can never match. Expressions are never evaluated.
"""

from collections.abc import Iterator, Mapping

import promql_parser as promql

from celery_redis_exporter.alerts import task_rates
from celery_redis_exporter.catalog import CATALOG, NATIVE, Kind
from celery_redis_exporter.catalog.tasks import BY_WORKER

Labels = frozenset[str]

TARGET: Labels = frozenset({"cluster", "namespace", "job", "instance", "application", "replica"})
"""Labels that Prometheus adds to every sample that it scrapes, as far as the rules and dashboards use them."""
OF_PROCESSES = (
    "process_cpu_seconds_total", "process_open_fds", "process_resident_memory_bytes",
    "scrape_duration_seconds", "scrape_samples_scraped",
)  # fmt: skip
"""Metrics of every Python process, and those that Prometheus adds to every target."""
OF_ALERTS: Labels = frozenset(
    {
        "alertname",
        "alertstate",
        "severity",
        "cluster",
        "namespace",
        "job",
        "application",
        "task",
        "queue",
        "worker",
        "redis",
    }
)
SCALARS = {"time", "scalar", "pi"}
CHOOSING = {"topk", "bottomk"}
"""Aggregations that do not change the labels of series."""
SET_OPERATORS = {"and", "or", "unless"}


def catalogued() -> dict[str, Labels]:
    """Return the labels of all that can be scraped from the exporter, and of ``up``, by sample name."""
    known = {"up": TARGET, "process_start_time_seconds": TARGET}
    for metric in CATALOG.values():
        labels = TARGET | {label.name for label in metric.labels}
        known[metric.name] = labels
        if metric.kind in {Kind.HISTOGRAM, Kind.SUMMARY}:
            if metric not in NATIVE:
                del known[metric.name]
            known |= {f"{metric.name}_sum": labels, f"{metric.name}_count": labels}
            part, label = (
                (f"{metric.name}_bucket", "le") if metric.kind is Kind.HISTOGRAM else (metric.name, "quantile")
            )
            known[part] = labels | {label}
    return known


def scraped() -> dict[str, Labels]:
    """Return the labels of all series in a Prometheus that scrapes the exporter and evaluates its alerts."""
    known = catalogued()
    for name in OF_PROCESSES:
        known[name] = TARGET
    known["python_gc_collections_total"] = TARGET | {"generation"}
    known["ALERTS"] = OF_ALERTS
    for recording in task_rates.RECORDINGS:
        name = recording.record.removesuffix(f":rate{task_rates.WINDOW}").replace(":", "_", 1)
        counted = name if name in known else f"{name}_total"
        known[recording.record] = known[counted] - {"instance", "replica"}
        if counted.startswith(task_rates.HISTOGRAMS):
            known[recording.record] -= {"state"}
    for metric in BY_WORKER:
        for name in (metric.name, *(f"{metric.name}_{part}" for part in ("bucket", "count", "sum"))):
            if name in known:
                known[name] |= {"worker"}
    return known


def children(expr: promql.Expr) -> list[promql.Expr]:
    """Return the direct parts of an expression."""
    if isinstance(expr, promql.BinaryExpr):
        return [expr.lhs, expr.rhs]
    if isinstance(expr, promql.Call):
        return list(expr.args)
    if isinstance(expr, promql.MatrixSelector):
        return [expr.vector_selector]
    inner = getattr(expr, "expr", None)
    return [] if inner is None else [inner]


def every(expr: promql.Expr) -> Iterator[promql.Expr]:
    """Yield an expression and all expressions in it."""
    yield expr
    for child in children(expr):
        yield from every(child)


def selectors(expr: promql.Expr) -> list[promql.VectorSelector]:
    """Return every selector of a metric."""
    return [node for node in every(expr) if isinstance(node, promql.VectorSelector)]


def matchers(selector: promql.VectorSelector) -> list[promql.Matcher]:
    """Return every matcher of a selector."""
    return [*selector.matchers.matchers, *(row for rows in selector.matchers.or_matchers for row in rows)]


def mixed(expr: promql.Expr) -> bool:
    """Return whether an expression aggregates over everything, so that it mixes several applications."""
    return any(isinstance(node, promql.AggregateExpr) and node.modifier is None for node in every(expr))


def result_labels(expr: promql.Expr, known: Mapping[str, Labels]) -> Labels | None:
    """Return the labels of an expression's result, or None for a number."""
    match expr:
        case promql.NumberLiteral() | promql.StringLiteral():
            return None
        case promql.VectorSelector():
            return _selected(expr, known)
        case promql.AggregateExpr():
            return _aggregated(expr, known)
        case promql.BinaryExpr():
            return _joined(expr, known)
        case promql.Call():
            return _called(expr, known)
    return result_labels(children(expr)[0], known)


def _selected(selector: promql.VectorSelector, known: Mapping[str, Labels]) -> Labels:
    name = selector.name or ""
    assert name in known, f"there is no metric {name}"
    used = {matcher.name for matcher in matchers(selector)}
    assert used <= known[name], f"{name} has no {sorted(used - known[name])}"
    return known[name]


def _called(call: promql.Call, known: Mapping[str, Labels]) -> Labels | None:
    given = [result_labels(argument, known) for argument in call.args]
    if call.func.name in SCALARS:
        return None
    if call.func.name in {"vector", "absent", "absent_over_time"}:
        return frozenset()
    vectors = [labels for labels in given if labels is not None]
    assert len(vectors) == 1, call.func.name
    return vectors[0] - {"le"} if call.func.name == "histogram_quantile" else vectors[0]


def _aggregated(expr: promql.AggregateExpr, known: Mapping[str, Labels]) -> Labels:
    inner = result_labels(expr.expr, known)
    assert inner is not None
    chooses = str(expr.op) in CHOOSING
    if expr.modifier is None:
        return inner if chooses else frozenset()
    named = frozenset(expr.modifier.labels)
    assert named <= inner, f"nothing has {sorted(named - inner)} to aggregate by"
    if chooses:
        return inner
    return named if expr.modifier.type == promql.AggModifierType.By else inner - named


def _joined(expr: promql.BinaryExpr, known: Mapping[str, Labels]) -> Labels | None:
    left, right = result_labels(expr.lhs, known), result_labels(expr.rhs, known)
    if left is None or right is None:
        return left if right is None else right
    modifier = expr.modifier
    on = None if modifier is None or modifier.matching is None else frozenset(modifier.matching.labels)
    if on is None:
        # The result of absent() has no labels, and can only be the right side of "or".
        assert left == right or (str(expr.op) == "or" and not right), (
            f"{sorted(left)} never match {sorted(right)} without on()"
        )
        return left
    assert modifier is not None
    assert on <= left & right, f"one side has no {sorted(on - left & right)} to join on"
    if str(expr.op) in SET_OPERATORS:
        return left | right if str(expr.op) == "or" else left
    if modifier.card == promql.VectorMatchCardinality.ManyToOne:
        added = frozenset(modifier.group_labels or ())
        assert added <= right, f"the right side has no {sorted(added - right)}"
        return left | added
    return on
