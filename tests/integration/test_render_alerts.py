# SPDX-License-Identifier: Apache-2.0
"""``render alerts`` and the programs that load its output: for any flags it refuses or they accept."""

import contextlib
import io
import tempfile
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from celery_redis_exporter.alerts import GROUPS
from celery_redis_exporter.cli.render import run
from celery_redis_exporter.errors import ConfigError
from tests.integration.promtools import BY_BOTH, MAJORS, promtool, said
from tests.support import yaml_text

pytestmark = pytest.mark.servers

ALERTS = [alert for group in GROUPS for alert in group.alerts]
NAMES = st.sampled_from([alert.name for alert in ALERTS])
PARAMETERS = st.sampled_from([f"{alert.name}.{name}" for alert in ALERTS for name in alert.parameters])
TEXT = st.text(max_size=6)
NUMBERS = st.one_of(st.floats().map(str), st.integers(-9, 10**25).map(str), TEXT)
DURATIONS = st.one_of(st.from_regex(r"([0-9]{1,3}(ms|[smhdwy])){0,3}", fullmatch=True), TEXT)
LABELS = st.one_of(
    st.sampled_from(["team", "by", "on", "bool", "inf", "NaN", "start", "sum", "offset", "__x", "env", "and", "job"]),
    st.from_regex(r"[a-z0-9_]{0,5}", fullmatch=True),
    TEXT,
)
PATTERNS = st.one_of(
    st.from_regex(r"[a-c(|)\[\].*+?{}0-9^\\$,:<>=!P-]{0,8}", fullmatch=True), st.from_regex(r"[a-z]+-[0-9]{1,3}.*")
)
QUOTED = st.tuples(st.sampled_from("\"'`"), st.one_of(PATTERNS, TEXT)).map(lambda pair: pair[0] + pair[1] + pair[0])
MATCHERS = st.tuples(LABELS, st.sampled_from(["=", "!=", "=~", "!~", "=="]), QUOTED).map("".join)
TASKS = st.one_of(st.sampled_from(["proj.pay", "proj_pay", 'a"b', "caf\u00e9", "{{ x }}", "a\\", "$x"]), TEXT)
PROMISES = st.one_of(
    st.sampled_from(["99", "99.5", "95,30s", "100", "0", "99.99999999999", "nan", "95,7s", "95,inf"]), NUMBERS
)
URLS = st.one_of(
    st.sampled_from(["https://g.example/d", "http://[::1]:3000/d/", "https://x/%7B%7B", "/d", "https://x/{{ . }}"]),
    TEXT.map("https://".__add__),
)


def flag(name: str, *parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Return a strategy for a flag whose value consists of ``parts`` joined with =."""
    return st.tuples(*parts).map(lambda values: f"--{name}={'='.join(values)}")


FLAGS = st.lists(
    st.one_of(
        flag("set", PARAMETERS, NUMBERS), flag("for", NAMES, DURATIONS), flag("keep", NAMES, DURATIONS),
        flag("label", LABELS, TEXT), flag("group-by", st.lists(LABELS, max_size=3).map(",".join)),
        flag("selector", st.lists(MATCHERS, max_size=2).map(", ".join)), flag("slo", TASKS, PROMISES),
        flag("disable", st.one_of(NAMES, TEXT)), flag("severity", NAMES, st.sampled_from(["critical", "none", "x"])),
        flag("runbook-url", URLS), flag("dashboard-url", URLS), flag("name", TEXT), flag("folder", TEXT),
    ),
    max_size=4,
)  # fmt: skip


SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 99), st.floats(), st.sampled_from(["a", "1h", "x=99"]), TEXT
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(SCALARS, inner, max_size=2)),
    max_leaves=4,
)
CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "for": VALUES, "keep_firing_for": VALUES, "severity": VALUES,
        "parameters": st.one_of(st.dictionaries(st.sampled_from(["messages", "ratio"]), VALUES), VALUES),
    },
)  # fmt: skip
FILES = st.fixed_dictionaries(
    {},
    optional={
        "selector": VALUES, "group_by": VALUES, "labels": VALUES, "disable": VALUES, "slo": VALUES,
        "runbook_url": VALUES, "dashboard_url": VALUES,
        "alerts": st.one_of(st.dictionaries(st.one_of(NAMES, SCALARS), st.one_of(CHANGES, VALUES), max_size=2), VALUES),
    },
)  # fmt: skip
"""Contents of a file of --config, valid or invalid."""


def rules_of(document: dict[str, object], form: str) -> dict[str, object]:
    """Return the rules of any form as a rules file."""
    if form == "prometheusrule":
        spec = document["spec"]
        assert isinstance(spec, dict)
        return spec
    if form == "rules":
        return document
    groups = document["groups"]
    assert isinstance(groups, list)
    rules = [
        {
            "alert": rule["title"],
            "expr": rule["data"][0]["model"]["expr"],
            "for": rule["for"],
            "keep_firing_for": rule.get("keepFiringFor", "0s"),
            "annotations": {
                name: text.replace("$values.query.Value", "$value") for name, text in rule["annotations"].items()
            },
        }
        for group in groups
        for rule in group["rules"]
    ]
    return {"groups": [{"name": "grafana", "rules": rules}]}


def attempt(arguments: list[str]) -> str | None:
    """Return the rendered text, or None if it is refused with one line."""
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            run(arguments)
    except ConfigError as error:
        if len(str(error).splitlines()) == 1:
            return None
        raise
    return printed.getvalue()


@BY_BOTH
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(flags=FLAGS, form=st.sampled_from(["rules", "prometheusrule", "grafana"]))
def test_whatever_is_rendered_is_accepted(flags: list[str], form: str) -> None:
    """Random flags are refused with one line, or render rules that promtool of both versions accepts, lint included."""
    rendered = attempt(["alerts", f"--format={form}", *flags])
    if rendered is not None:
        check(rules_of(yaml_text.parse(rendered), form))


@BY_BOTH
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(tree=FILES)
def test_whatever_a_file_renders_is_accepted(tree: dict[str, object]) -> None:
    """A file with values of any type is refused with one line, or renders rules that promtool accepts."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "alerts.yml")
        path.write_text(yaml.safe_dump(tree), encoding="utf-8")
        rendered = attempt(["alerts", f"--config={path}"])
    if rendered is not None:
        check(yaml_text.parse(rendered))


def check(rules: dict[str, object]) -> None:
    """Check rules with promtool of both versions, lint included."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "rules.yml")
        path.write_text(yaml.safe_dump(rules), encoding="utf-8")
        for major in MAJORS:
            said(promtool(major), "check", "rules", "--lint=all", "--lint-fatal", path)
