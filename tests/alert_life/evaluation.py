# SPDX-License-Identifier: Apache-2.0
"""The alerts that fire in simulated lives, and when: all lives in one Prometheus, evaluated by promtool.

Input: scenarios, an interval, a promtool. Output: firings by namespace. promtool prints results only if they differ
from the expected ones, so every query here expects nothing and its output is parsed. All lives share one Prometheus, as
applications do: rules that mix them up fail, and one evaluation takes a tenth of the time.
"""

import math
import re
import subprocess
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import yaml

from celery_redis_exporter.alerts import GROUPS
from celery_redis_exporter.alerts.files import RenderOptions, build_groups
from celery_redis_exporter.alerts.selectors import select
from tests.alert_life.scenario import Scenario

NAIVE = "Naive"
"""The prefix of the names of naive rules, which don't account for a scenario."""

WINDOW = 720
"""Minutes that one query covers."""
_SAMPLE = re.compile(r'\{((?:[^{}"]|"(?:[^"\\]|\\.)*")*)\} (\S+)')
_RECORDED = re.compile(r"\bcelery:\w+:\w+")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)

_ACTIVE = "ALERTS"
"""The beginning of the queries for active alerts, and of no other."""
ActiveAlerts = Mapping[float, list[Mapping[str, str]]]
"""Labels of active alerts (pending or firing) by minute."""

Labels = frozenset[tuple[str, str]]


class Firing(NamedTuple):
    """An alert that fired: its labels, the minute of the first time, the number of times, and the total minutes."""

    labels: Mapping[str, str]
    first: float
    times: int
    minutes: float

    @property
    def name(self) -> str:
        """Return the alert's name."""
        return self.labels["alertname"]


class Evaluation:
    """A promtool that evaluates the bundled rules, and the naive ones of ``scenarios``, every ``interval``.

    ``lived`` are the series of each scenario, and ``minutes`` those at which its active alerts are read, too. The
    process runs from the constructor until its results are read.
    """

    def __init__(  # noqa: PLR0913, PLR0917 -- a program and all that it evaluates
        self,
        folder: Path,
        promtool: str,
        scenarios: Sequence[Scenario],
        interval: str,
        lived: Mapping[str, Mapping[str, str]],
        minutes: Callable[[Scenario], Iterable[float]] = lambda _: (),
    ) -> None:
        (folder / "rules.yml").write_text(_dump({"groups": [*_rules(), *_naive_rules(scenarios)]}), encoding="utf-8")
        step = int(interval.removesuffix("m"))

        def queries(scenario: Scenario) -> Iterator[dict[str, object]]:
            return chain(_queries(scenario, step), _instant_queries(scenario, minutes(scenario)))

        tests = document(scenarios, interval, lived, queries)
        (folder / "test.yml").write_text(_dump(tests), encoding="utf-8")
        self._output = folder / f"{Path(promtool).parent.name}-{len(list(folder.iterdir()))}.txt"
        command = [promtool, "test", "rules", str(folder / "test.yml")]
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)

    def results(self) -> dict[str, list[Firing]]:
        """Wait for the end; return the firings of each scenario."""
        self._process.wait()
        found: dict[str, list[Firing]] = defaultdict(list)
        for firing in _parse(self._output.read_text(encoding="utf-8")):
            found[firing.labels["namespace"]].append(firing)
        return dict(found)

    def active(self) -> dict[str, ActiveAlerts]:
        """Wait for the end; return the alerts that are pending or firing at the minutes, by scenario."""
        self._process.wait()
        found: defaultdict[str, dict[float, list[Mapping[str, str]]]] = defaultdict(dict)
        for query, rows in _results(self._output.read_text(encoding="utf-8")):
            for labels, minute in rows if query.startswith(_ACTIVE) else ():
                row = dict(labels)
                found[row["namespace"]].setdefault(minute, []).append(row)
        return dict(found)

    def end(self) -> None:
        """End the process, if it still runs."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()


def document(
    scenarios: Sequence[Scenario],
    interval: str,
    lived: Mapping[str, Mapping[str, str]],
    queries: Callable[[Scenario], Iterable[dict[str, object]]],
) -> dict[str, object]:
    """Return promtool's tests: the series of scenarios, and queries on each."""
    return {
        "rule_files": ["rules.yml"],
        "evaluation_interval": interval,
        "tests": [{
            "interval": f"{scenarios[0].scrape_seconds}s",
            "input_series": [
                {"series": series, "values": values} for rows in lived.values() for series, values in rows.items()
            ],
            "promql_expr_test": [query for scenario in scenarios for query in queries(scenario)],
        }],
    }  # fmt: skip


def _rules() -> list[dict[str, object]]:
    groups = build_groups(GROUPS, RenderOptions())
    for group in groups:
        for rule in group["rules"]:
            rule.pop("annotations", None)
    return groups


def rules_digest() -> str:
    """Return a digest of the expressions, durations and labels of all rules."""
    return sha256(_dump(_rules()).encode()).hexdigest()[:12]


def _naive_rules(scenarios: Sequence[Scenario]) -> list[dict[str, object]]:
    rules = [
        {
            "alert": NAIVE + alert,
            "expr": _of_namespace(rule.expression, scenario.name),
            "for": rule.wait,
            "labels": {"namespace": scenario.name},
        }
        for scenario in scenarios
        for alert, rule in scenario.naive.items()
    ]
    return [{"name": "naive", "rules": rules}] if rules else []


def _of_namespace(expression: str, namespace: str) -> str:
    """Return an expression that reads only the series of a namespace, including recorded ones."""
    matcher = f'namespace="{namespace}"'
    return _RECORDED.sub(rf"\g<0>{{{matcher}}}", select(expression, matcher))


def _queries(scenario: Scenario, step: int) -> Iterator[dict[str, object]]:
    """Yield queries for the first time, the number of times and the minutes of each alert of a scenario.

    Each query covers half a day, because promtool reads at most 10,000 samples in a query.
    """
    firing = f'ALERTS{{alertstate="firing", alertname!="CeleryWatchdog", namespace="{scenario.name}"}}'
    end, window = int(scenario.hours * 60), WINDOW
    for until in range(window, end + window, window):
        span = f"[{window - step}m:{step}m]"
        for query in (
            f"min_over_time(timestamp({firing}){span}) / 60",
            f"count_over_time(({firing} unless {firing} offset {step}m){span})",
            f"count_over_time({firing}{span}) * {step}",
        ):
            yield {"expr": query, "eval_time": f"{min(until, end)}m", "exp_samples": []}


def _instant_queries(scenario: Scenario, minutes: Iterable[float]) -> Iterator[dict[str, object]]:
    """Yield a query for the active alerts at each of these minutes, whose values are the minute."""
    for minute in minutes:
        if 0 < minute <= scenario.hours * 60:
            active = f'{_ACTIVE}{{alertname!="CeleryWatchdog", namespace="{scenario.name}"}}'
            yield {"expr": f"{active} * {minute:g}", "eval_time": f"{minute:g}m", "exp_samples": []}


def _parse(output: str) -> list[Firing]:
    """Return the results of the queries for firings in promtool's output."""
    found: dict[Labels, list[float]] = {}
    for query, rows in _results(output):
        for labels, value in () if query.startswith(_ACTIVE) else rows:
            row = found.setdefault(labels, [math.inf, 0, 0])
            if query.startswith("min"):
                row[0] = min(row[0], value)
            else:
                row[1 if query.startswith("count_over_time((") else 2] += value
    firings = (
        Firing(dict(sorted(labels)), first, int(times), minutes) for labels, (first, times, minutes) in found.items()
    )
    return sorted(firings, key=lambda firing: (firing.first, *firing.labels.items()))


def _results(output: str) -> Iterator[tuple[str, list[tuple[Labels, float]]]]:
    """Yield each query in promtool's output with its samples; fail for any other failure."""
    assert " err: " not in output, output[:3000]
    assert ("got: " in output) != ("SUCCESS" in output), output[:3000]
    query = ""
    for line in output.splitlines():
        if "expr: " in line:
            query = line.partition('expr: "')[2]
        if "got: " in line:
            yield query, _samples(line.partition("got: ")[2])


def _samples(text: str) -> list[tuple[Labels, float]]:
    """Return the samples that promtool prints, by their labels."""
    return [
        (frozenset(_LABEL.findall(labels)) - {("alertstate", "firing")}, float(value.rstrip(",")))
        for labels, value in _SAMPLE.findall(text)
    ]


def _dump(document: object) -> str:
    return yaml.dump(document, Dumper=_DUMPER, sort_keys=False, width=1 << 20)
