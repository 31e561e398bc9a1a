# SPDX-License-Identifier: Apache-2.0
"""``render``, and ``render alerts``."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import alerting, expr, prometheus

from celery_redis_exporter.alerts import GROUPS
from celery_redis_exporter.cli import main, render_values
from celery_redis_exporter.cli.render import run
from celery_redis_exporter.errors import ConfigError
from tests.support import yaml_text
from tests.support.sizes import scaled


def render(capsys: pytest.CaptureFixture[str], *flags: str) -> Any:  # noqa: ANN401 -- YAML is anything
    """Render, and parse the output."""
    assert 0 == run(["alerts", *flags])
    return yaml_text.parse(capsys.readouterr().out)


def alerts(document: Any) -> dict[str, Any]:  # noqa: ANN401 -- as above
    """Return the alerts by name."""
    return {rule["alert"]: rule for group in document["groups"] for rule in group["rules"] if "alert" in rule}


def test_changes(capsys: pytest.CaptureFixture[str]) -> None:
    """Thresholds, durations, severities, labels, links and omitted alerts follow the flags."""
    found = alerts(
        render(
            capsys, "--set=CeleryQueueLong.messages=500", "--for=CeleryQueueLong=1h", "--severity=CeleryQueueLong=info",
            "--keep=CeleryQueueLong=2h", "--label=team=payments", "--disable=RedisHitRateLow",
            "--runbook-url=https://wiki/x.md", "--dashboard-url=https://grafana/d/",
        )
    )  # fmt: skip
    rule = found["CeleryQueueLong"]
    assert "> 500" in rule["expr"]
    assert ("1h", "2h", {"severity": "info", "team": "payments"}) == (
        rule["for"], rule["keep_firing_for"], rule["labels"]
    )  # fmt: skip
    assert "https://wiki/x.md#celeryqueuelong" == rule["annotations"]["runbook_url"]
    assert rule["annotations"]["dashboard_url"].startswith("https://grafana/d/celery-redis-exporter-queues?from=")
    assert "RedisHitRateLow" not in found
    assert "payments" == found["RedisDown"]["labels"]["team"]


def test_selector(capsys: pytest.CaptureFixture[str]) -> None:
    """Matchers are added to every selector of a metric, beside the existing ones, and to nothing else."""
    found = alerts(render(capsys, '--selector=job="c"'))
    assert 'celery_workers{job="c", state="online"}' in found["CeleryNoWorkersOnline"]["expr"]
    assert 'up{job="c"} == 0' in found["CeleryExporterDown"]["expr"]
    assert "celery:task_failure_ratio:rate15m > 0.1" in found["CeleryTaskFailureRateCritical"]["expr"]


def test_guards(capsys: pytest.CaptureFixture[str]) -> None:
    """Metrics whose names other exporters use are selected only with the label that this exporter adds."""
    found = alerts(render(capsys))
    assert 'celery_queue_length{queue!=""}' in found["CeleryQueueLong"]["expr"]
    assert 'redis_up{redis!="", redis!~' in found["RedisDown"]["expr"]
    assert 'redis_db_keys{redis=~"results(' in found["RedisResultKeysWithoutTTL"]["expr"]


def test_group_by(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Applications are distinguished by the labels of --group-by or of the file, and by no others."""
    file = tmp_path / "alerts.yml"
    file.write_text("group_by: [env, job]\n", encoding="utf-8")
    for flag in ("--group-by=env,job", f"--config={file}"):
        document = render(capsys, flag, "--slo=proj.pay=99.5")
        exprs = [rule["expr"] for group in document["groups"] for rule in group["rules"]]
        assert not [expr for expr in exprs if re.search(r"\b(by|on) \([^)]*\b(cluster|application)\b", expr)]
        found = alerts(document)
        assert "max by (env, job, queue) (celery_queue_length_threshold)" in found["CeleryQueueLong"]["expr"]
        assert "up == 0 and on (env, job, instance)" in found["CeleryExporterDown"]["expr"]


@pytest.mark.parametrize("labels", ["application", "a b", "", "job,job", "1x"])
def test_group_by_refuses_what_is_no_label(labels: str) -> None:
    """Labels that PromQL doesn't allow, that repeat, or that no target has are refused in one line."""
    with pytest.raises(ConfigError, match=r"^--group-by"):
        run(["alerts", f"--group-by={labels}"])


def test_config_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A file has the same effect as flags, and flags override it."""
    file = tmp_path / "alerts.yml"
    file.write_text(
        'selector: job="c"\nlabels: {team: a, tier: 1}\ndisable: [RedisDown]\nslo: [proj.pay=99.5]\n'
        "alerts:\n  CeleryQueueLong: {for: 1h, severity: info, parameters: {messages: 7}}\n",
        encoding="utf-8",
    )
    document = render(capsys, f"--config={file}", "--label=team=b", "--set=CeleryQueueLong.messages=9")
    found = alerts(document)
    assert "> 9" in found["CeleryQueueLong"]["expr"]
    assert {"severity": "info", "team": "b", "tier": "1"} == found["CeleryQueueLong"]["labels"]
    assert "RedisDown" not in found
    assert 'job="c"' in found["CeleryWorkerDown"]["expr"]
    assert "CeleryTaskSuccessBudgetBurn" in found


def test_objectives(capsys: pytest.CaptureFixture[str]) -> None:
    """An objective yields four burn rates and the remaining budget, for success and for waiting alike."""
    document = render(capsys, "--slo=proj.pay=99.5", "--slo=proj.pay=95,30s")
    (group,) = [group for group in document["groups"] if group["name"] == "celery-slo"]
    burns = [rule for rule in group["rules"] if rule.get("alert") == "CeleryTaskSuccessBudgetBurn"]
    assert ["14.4 * 0.005", "6 * 0.005", "3 * 0.005", "1 * 0.005"] == [
        rule["expr"].partition(" and ")[0].partition("> ")[2] for rule in burns
    ]
    assert ["1h", "6h", "1d", "3d"] == [rule["labels"]["window"] for rule in burns]
    records = {rule["record"]: rule["expr"] for rule in group["rules"] if "record" in rule}
    assert "celery:slo_success_proj_pay:budget_left_ratio" in records
    assert 'le="30.0"' in records["celery:slo_start_proj_pay:error_ratio1h"]


def test_prometheus_rule(capsys: pytest.CaptureFixture[str]) -> None:
    """The PrometheusRule object contains the same groups."""
    document = render(capsys, "--format=prometheusrule", "--name=mine")
    assert ("PrometheusRule", "mine") == (document["kind"], document["metadata"]["name"])
    assert render(capsys)["groups"] == document["spec"]["groups"]


def test_grafana(capsys: pytest.CaptureFixture[str]) -> None:
    """Grafana's rules have unique ids, the same texts, fire also where the value is 0, and need no recording rules."""
    document = render(capsys, "--format=grafana", "--datasource=mimir", "--folder=Tasks", "--slo=a=99")
    rules = [rule for group in document["groups"] for rule in group["rules"]]
    assert len(rules) == len({rule["uid"] for rule in rules}) == len({rule["title"] for rule in rules})
    assert {"Tasks"} == {group["folder"] for group in document["groups"]}
    down = next(rule for rule in rules if rule["title"] == "CeleryWorkerDown")
    assert ["mimir", "__expr__", "__expr__"] == [query["datasourceUid"] for query in down["data"]]
    assert "is_number($query) || is_nan($query) || is_inf($query)" == down["data"][1]["model"]["expression"]
    assert alerts(render(capsys))["CeleryWorkerDown"]["annotations"] == down["annotations"]
    assert [] == [rule for rule in rules if re.search(r"(redis|celery):", rule["data"][0]["model"]["expr"])]


def test_grafana_agrees_with_its_types(capsys: pytest.CaptureFixture[str]) -> None:
    """Every key of a rule and of its queries is in Grafana's own model of alerting."""
    document = render(capsys, "--format=grafana", "--slo=a=99", "--slo=a=95,30s", "--label=cost=$5")
    for rule in [rule for group in document["groups"] for rule in group["rules"]]:
        # The file spells one key differently from the API, whose types these are.
        plain = {"keep_firing_for" if key == "keepFiringFor" else key: value for key, value in rule.items()}
        queries = plain.pop("data")
        added = {"folderUID": "", "orgID": 0, "ruleGroup": "", "data": []}
        assert plain | added == alerting.Rule.from_json(plain).to_json()
        assert rule["condition"] in {query["refId"] for query in queries}
        assert {rule["noDataState"], rule["execErrState"]} <= {"OK", "Error"}
        types: tuple[Any, ...] = (prometheus.Dataquery, expr.TypeMath, expr.TypeThreshold)
        for query, kind in zip(queries, types, strict=True):
            model = query.pop("model")
            assert query == json.loads(json.dumps(alerting.Query.from_json(query), cls=JSONEncoder))
            assert model == json.loads(json.dumps(kind.from_json(model), cls=JSONEncoder))
        assert "$$5" == rule["labels"]["cost"]
        assert not re.search(r"\$value\b", "".join(rule["annotations"].values()))
        assert re.fullmatch(r"[A-Za-z0-9_-]{1,40}", rule["uid"])


def test_uids_belong_to_names(capsys: pytest.CaptureFixture[str]) -> None:
    """A rule keeps its uid when other rules are omitted, so that Grafana keeps its state and its silences."""

    def uids(*flags: str) -> dict[str, str]:
        document = render(capsys, "--format=grafana", *flags)
        return {rule["title"]: rule["uid"] for group in document["groups"] for rule in group["rules"]}

    every = uids("--slo=a=99", "--slo=b=99")
    fewer = uids("--slo=b=99", "--disable=CeleryWatchdog", "--disable=CeleryQueueLong")
    assert every | fewer == every
    assert len(every) > len(fewer)


def test_links(capsys: pytest.CaptureFixture[str]) -> None:
    """An absolute dashboard link selects the values of the alert's labels, escaped; a relative one selects nothing."""
    found = alerts(render(capsys, "--dashboard-url=https://g.example/d", "--slo=a=99"))
    queue = found["CeleryQueueLong"]["annotations"]["dashboard_url"]
    assert "{{ with $labels.queue }}&var-queue={{ . | urlquery }}{{ end }}" in queue
    assert "var-task" not in queue
    assert "var-task" in found["CeleryTaskSuccessBudgetBurn"]["annotations"]["dashboard_url"]
    annotations = alerts(render(capsys))["CeleryQueueLong"]["annotations"]
    assert "/d/celery-redis-exporter-queues" == annotations["dashboard_url"]


@pytest.mark.parametrize("what", ["alerts", "dashboards"])
def test_help_fits_a_terminal(capsys: pytest.CaptureFixture[str], what: str) -> None:
    """No line of the help is longer than 80 characters."""
    assert 0 == run([what, "--help"])
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    """The list shows every alert with its severity and the values of its parameters, in 80 columns."""
    assert 0 == run(["alerts", "--list", "--set=CeleryQueueLong.messages=7", "--disable=RedisDown"])
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    assert re.search(r"^CeleryQueueLong +warning +10m +messages=7$", text, re.MULTILINE)
    for alert in (alert for group in GROUPS for alert in group.alerts):
        assert (alert.name in text) == (alert.name != "RedisDown")
        assert set(alert.parameters) <= set(re.findall(r"(\w+)=", text))
    assert 1 == len({found.start() for line in text.splitlines() for found in re.finditer(r"SEVERITY|critical", line)})


def test_zero_is_no_time(capsys: pytest.CaptureFixture[str]) -> None:
    """An alert with a wait of 0 has no line for it, a form that every program accepts."""
    found = alerts(render(capsys, "--for=CeleryQueueLong=0s", "--keep=CeleryEventsLost=0"))
    assert not {"for", "keep_firing_for"} & {*found["CeleryQueueLong"], *found["CeleryEventsLost"]}


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--set=CeleryQueueLonk.messages=1", "did you mean CeleryQueueLong"),
        ("--set=CeleryQueueLong.mesages=1", "did you mean messages"),
        ("--set=CeleryQueueLong=1", "ALERT.PARAMETER=NUMBER"),
        ("--set=CeleryQueueLong.messages=many", "is no number"),
        ("--disable=Nothing", "there is no alert Nothing"),
        ("--for=RedisDown=soon", "must be a duration"),
        ("--severity=RedisDown=page", "must be one of critical"),
        ("--slo=a=100", "between 0 and 100"),
        ("--slo=a=99,7s", "is no bucket"),
        ("--slo=a=0", "between 0 and 100"),
        ("--slo=a=101", "between 0 and 100"),
        ("--slo=a=99,0s", "is no bucket"),
        ("--slo={{ a=99", "is no name of a task"),
        (f"--slo={'a' * 200}=99", "at most 128 characters"),
        ("--set=CeleryQueueLong.messages=nan", "must be a finite number"),
        ("--set=CeleryQueueLong.messages=inf", "must be a finite number"),
        ("--set=CeleryQueueLong.messages=-1", "must be a finite number, 0 or more"),
        ("--set=RedisMemoryHigh.ratio=80", "is a share, 1 at most"),
        ("--selector=job=celery", "with quotes"),
        ('--selector=job="celery",', "with quotes"),
        ('--selector=job=~"("', "is no regular expression"),
        ('--selector=job=~"(?=a)"', "is no regular expression"),
        ('--selector=__name__="x"', "can't be matched"),
        ("--selector=", "with quotes"),
        ("--label=1bad=x", "is no name of a label"),
        ("--label=__x=y", "is no name of a label"),
        ("--label=severity=x", "set severity themselves"),
        ("--label=worker=x", "set worker themselves"),
        ("--label=cluster=x", "set cluster themselves"),
        ("--label=team=", "must have a value"),
        ("--label=team={{ x", "must be a fixed text"),
        ("--label=team=a\nb", "can't be printed"),
        ("--for=RedisDown=1m1h", "must be a duration"),
        ("--for=RedisDown=", "must be a duration"),
        ("--for=RedisDown=300y", "292 years"),
        ("--for=RedisDown=\u0661m", "must be a duration"),
        ("--name=Bad_Name", "lower case letters"),
        (f"--name={'a' * 254}", "at most 253"),
        ("--datasource=a b", "must be a uid"),
        ("--folder= ", "must be a title"),
        (f"--folder={'a' * 190}", "at most|1 to 189"),
        ("--runbook-url=wiki", "must be an address"),
        ("--runbook-url=https://wiki/#a", "without a fragment"),
        ("--dashboard-url=https://g/{{ x }}", "must be an address"),
        ("--disable=", "there is no alert ; render alerts --list prints all"),
        ("--slo=99", "TASK=PERCENT"),
        ("--label=x", "NAME=VALUE"),
        ("--format=json", "invalid choice"),
        ("--config=/nowhere.yml", "can't read /nowhere.yml"),
        ("--sett=1", "unknown flag --sett; did you mean --set?"),
    ],
)
def test_wrong_flags(flag: str, message: str) -> None:
    """A word that can't be rendered is reported in one line, with the nearest name that exists."""
    with pytest.raises(ConfigError, match=message):
        run(["alerts", flag])


@pytest.mark.parametrize(
    ("text", "message"),
    [("- a\n", "must be a mapping"), ("allerts: {}\n", "no such key: allerts"), ("a: [\n", "not valid YAML"),
     ("alerts: {RedisDown: {fore: 1m}}\n", "alerts.RedisDown"), ("disable: RedisDown\n", "must be a list"),
     ("alerts: {RedisDown: {for: soon}}\n", "must be a duration"),
     ("alerts: {1: {for: 1m}}\n", "there is no alert 1"), ("disable: [[RedisDown]]\n", "must be a text"),
     ("selector: [a]\n", "must be a text"), ("runbook_url: 7\n", "must be an address"), ("slo: [{a: 1}]\n", "a text"),
     ("labels: {team: [a]}\n", "must be a text"), ("group_by: [{a: 1}]\n", "must be a text"),
     ("alerts: {CeleryQueueLong: {parameters: {messages: .nan}}}\n", "must be a finite number"),
     ("alerts: {RedisDown: {severity: [critical]}}\n", "must be one of"),
     ("alerts:\n  RedisDown: {for: 1m}\n  RedisDown: {for: 2m}\n", ":3: alerts.RedisDown: is already set on line 2")],
)  # fmt: skip
def test_wrong_files(tmp_path: Path, text: str, message: str) -> None:
    """The error for a file that can't be used states what is wrong with it."""
    file = tmp_path / "alerts.yml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        run(["alerts", f"--config={file}"])


@pytest.mark.parametrize("second", ["proj.pay=99.5", "proj.pay=99", "proj_pay=99", "proj.pay=95,30s"])
def test_objectives_are_recorded_apart(second: str) -> None:
    """Two objectives with the same recorded names are refused; one objective of each kind is accepted."""
    flags = ["alerts", "--slo=proj.pay=99.5", "--slo=proj.pay=90,60s", f"--slo={second}"]
    with pytest.raises(ConfigError, match="leave one out"):
        run(flags)


@pytest.mark.parametrize("labels", ["queue", "env,worker", "le", "inf,job", "__x", "instance"])
def test_group_by_refuses_labels_of_series(labels: str) -> None:
    """Labels that distinguish series of one application, and words that PromQL reads as something else, are refused."""
    with pytest.raises(ConfigError, match=r"^--group-by"):
        run(["alerts", f"--group-by={labels}"])


def test_an_object_that_the_operator_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rules that exceed the size of the operator's ConfigMap are refused; a plain rules file may be as long."""
    monkeypatch.setattr(render_values, "MAX_RULE_OBJECT", scaled(80_000, render_values.MAX_RULE_OBJECT))
    flags = [f"--slo=proj.tasks.number_{number}=99" for number in range(scaled(3, 90))]
    assert 0 == run(["alerts", "--format=prometheusrule"])
    with pytest.raises(ConfigError, match="Render fewer objectives"):
        run(["alerts", "--format=prometheusrule", *flags])
    assert 0 == run(["alerts", *flags])


def test_a_wrong_value_costs_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """The command ends with exit code 2 and one line that states cause and solution."""
    assert 2 == main(["render", "alerts", "--set=CeleryQueueLong.messages=nan"])
    shown = capsys.readouterr()
    assert "" == shown.out
    assert 1 == len(shown.err.splitlines())


def test_what_it_renders(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a subject ``render`` lists its subjects, with one it shows the flags, and others are an error."""
    assert 0 == run([])
    assert "alerts|dashboards" in capsys.readouterr().out
    assert 0 == run(["alerts", "--help"])
    assert "--slo" in capsys.readouterr().out
    assert 0 == run(["dashboards", "--help"])
    assert "--uid" in capsys.readouterr().out
    with pytest.raises(ConfigError, match="renders alerts and dashboards"):
        run(["dashboardz"])


def test_errors_are_one_line(tmp_path: Path) -> None:
    """A file's contents can neither break the line of an error nor control a terminal."""
    file = tmp_path / "alerts.yml"
    file.write_text('group_by: ["a\\x1eb\\x1b[2J\\n"]', encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        run(["alerts", f"--config={file}"])
    assert str(caught.value).isprintable()
    assert "--group-by a b [2J" in str(caught.value)
