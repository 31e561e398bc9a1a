# SPDX-License-Identifier: Apache-2.0
"""Run promtool of both major versions of Prometheus: the system's 2.x, and 3.x from Debian's unstable release.

Input: a major version, or rules and series. Output: the path of promtool (``suite_programs`` installs it), or which
alerts fire at which time.
"""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import yaml

from tests.integration.processes import ROOT
from tests.integration.suite_programs import suite_program
from tests.support import yaml_text

Check = tuple[str, str, list[dict[str, str]]]
"""An alert, a time, and the labels of the alerts that fire at that time."""

MAJORS = ("2", "3")
"""The major versions of Prometheus that must load the rules."""
BY_BOTH = pytest.mark.newest("promtool-3")
"""Marks tests that use promtool of both versions, as all tests with ``judge`` do."""
BY_EACH = pytest.mark.parametrize("major", ["2", pytest.param("3", marks=BY_BOTH)])
"""Marks tests that use promtool of one version, and runs them with each."""


def promtool(major: str) -> str:
    """Return the promtool of a major version. Skip the test if it can't be installed."""
    return "promtool" if major == "2" else suite_program("promtool-3")


def said(*command: str | Path) -> str:
    """Run a program until it ends. Return its output. Fail if the program failed."""
    done = subprocess.run([*map(str, command)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def judge(  # noqa: PLR0913, PLR0917 -- the series and their intervals
    folder: Path,
    rules: str,
    series: Mapping[str, str],
    checks: Sequence[Check],
    interval: str = "1m",
    evaluation: str = "1m",
) -> None:
    """Check with both promtools that alerts with exactly these labels fire at these times.

    ``interval`` is the time between two samples of ``series``, ``evaluation`` that between two evaluations of
    the rules. Annotations are not compared.
    """
    (folder / "rules.yml").write_text(without_texts(rules), encoding="utf-8")
    cases = [
        {"alertname": name, "eval_time": at, "exp_alerts": [{"exp_labels": labels} for labels in expected]}
        for name, at, expected in checks
    ]
    document = {
        "rule_files": ["rules.yml"],
        "evaluation_interval": evaluation,
        "tests": [{
            "interval": interval,
            "input_series": [{"series": name, "values": values} for name, values in series.items()],
            "alert_rule_test": cases,
        }],
    }  # fmt: skip
    (folder / "test.yml").write_text(yaml.safe_dump(document), encoding="utf-8")
    for major in MAJORS:
        said(promtool(major), "test", "rules", folder / "test.yml")


def without_texts(rules: str) -> str:
    """Return rules without their annotations, which are tested in alerts/tests."""
    tree = yaml_text.parse(rules)
    for group in tree["groups"]:
        for rule in group["rules"]:
            rule.pop("annotations", None)
    return yaml.safe_dump(tree)
