"""``render``, and ``render alerts``."""

import re
from pathlib import Path
from typing import Any

import pytest

from celery_redis_exporter.cli.render import run
from celery_redis_exporter.errors import ConfigError
from tests.support import yaml_text


def render(capsys: pytest.CaptureFixture[str], *flags: str) -> Any:  # noqa: ANN401 -- YAML is anything
    """Render, and read what was rendered."""
    assert 0 == run(["alerts", *flags])
    return yaml_text.parse(capsys.readouterr().out)


def alerts(document: Any) -> dict[str, Any]:  # noqa: ANN401 -- as above
    """Alerts by name."""
    return {rule["alert"]: rule for group in document["groups"] for rule in group["rules"] if "alert" in rule}


def test_changes(capsys: pytest.CaptureFixture[str]) -> None:
    """Thresholds, durations, severities, labels, links and what is left out are as the flags say."""
    found = alerts(
        render(
            capsys, "--set=CeleryQueueLong.messages=500", "--for=CeleryQueueLong=1h", "--severity=CeleryQueueLong=info",
            "--keep=CeleryQueueLong=2h", "--label=team=payments", "--disable=RedisHitRateLow",
            "--runbooks=https://wiki/x.md", "--dashboards=https://grafana/d/",
        )
    )  # fmt: skip
    rule = found["CeleryQueueLong"]
    assert "> 500" in rule["expr"]
    assert ("1h", "2h", {"severity": "info", "team": "payments"}) == (
        rule["for"], rule["keep_firing_for"], rule["labels"]
    )  # fmt: skip
    assert "https://wiki/x.md#celeryqueuelong" == rule["annotations"]["runbook_url"]
    assert "https://grafana/d/celery-queues" == rule["annotations"]["dashboard_url"]
    assert "RedisHitRateLow" not in found
    assert "payments" == found["RedisDown"]["labels"]["team"]


def test_selector(capsys: pytest.CaptureFixture[str]) -> None:
    """Matchers come into every selector of a metric, beside those that are there, and into nothing else."""
    found = alerts(render(capsys, '--selector=job="c"'))
    assert 'celery_workers{job="c", state="online"}' in found["CeleryNoWorkersOnline"]["expr"]
    assert 'up{job="c"} == 0' in found["CeleryExporterDown"]["expr"]
    assert "celery:task_failure_ratio:rate10m > 0.1" in found["CeleryTaskFailureRateCritical"]["expr"]


def test_guards(capsys: pytest.CaptureFixture[str]) -> None:
    """Metrics whose names other exporters use are taken only with the label that ours have."""
    found = alerts(render(capsys))
    assert 'celery_queue_length{queue!=""}' in found["CeleryQueueLong"]["expr"]
    assert 'redis_up{redis!="", redis!~' in found["RedisDown"]["expr"]
    assert 'redis_db_keys{redis="results"}' in found["RedisResultKeysWithoutTTL"]["expr"]


def test_group_by(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Applications are told apart by the labels of --group-by or of the file, and by no others."""
    file = tmp_path / "alerts.yml"
    file.write_text("group_by: [env, job]\n", encoding="utf-8")
    for flag in ("--group-by=env,job", f"--config={file}"):
        document = render(capsys, flag, "--slo=proj.pay=99.5")
        exprs = [rule["expr"] for group in document["groups"] for rule in group["rules"]]
        assert not [expr for expr in exprs if re.search(r"\b(cluster|application)\b", expr)]
        found = alerts(document)
        assert "max by (env, job, queue) (celery_queue_length_threshold)" in found["CeleryQueueLong"]["expr"]
        assert "up == 0 and on (env, job, instance)" in found["CeleryExporterDown"]["expr"]


@pytest.mark.parametrize("labels", ["application", "a b", "", "job,job", "1x"])
def test_group_by_refuses_what_is_no_label(labels: str) -> None:
    """Labels that can't stand in an expression, that repeat, or that no target has are refused in one line."""
    with pytest.raises(ConfigError, match=r"^--group-by"):
        run(["alerts", f"--group-by={labels}"])


def test_config_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A file says the same as flags, and flags count for more."""
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
    """An objective gives four burn rates and the budget that is left, for success and for waiting alike."""
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
    """The operator's object holds the same groups."""
    document = render(capsys, "--format=prometheusrule", "--name=mine")
    assert ("PrometheusRule", "mine") == (document["kind"], document["metadata"]["name"])
    assert render(capsys)["groups"] == document["spec"]["groups"]


def test_grafana(capsys: pytest.CaptureFixture[str]) -> None:
    """Grafana's rules have unique ids, the same texts, and fire also where the value is 0."""
    document = render(capsys, "--format=grafana", "--datasource=mimir", "--folder=Tasks", "--slo=a=99")
    rules = [rule for group in document["groups"] for rule in group["rules"]]
    assert len(rules) == len({rule["uid"] for rule in rules}) == len({rule["title"] for rule in rules})
    assert {"Tasks"} == {group["folder"] for group in document["groups"]}
    down = next(rule for rule in rules if rule["title"] == "CeleryWorkerDown")
    assert ["mimir", "__expr__", "__expr__"] == [query["datasourceUid"] for query in down["data"]]
    assert "is_number($query) || is_nan($query) || is_inf($query)" == down["data"][1]["model"]["expression"]
    assert alerts(render(capsys))["CeleryWorkerDown"]["annotations"] == down["annotations"]
    assert any(rule.get("record", {}).get("metric") == "redis:memory_utilization:ratio" for rule in rules)


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
        ("--slo=99", "TASK=PERCENT"),
        ("--label=x", "NAME=VALUE"),
        ("--format=json", "invalid choice"),
        ("--config=/nowhere.yml", "can't read /nowhere.yml"),
        ("--sett=1", "unknown flag --sett; did you mean --set?"),
    ],
)
def test_wrong_flags(flag: str, message: str) -> None:
    """What can't be rendered is told in one line, with the nearest name that exists."""
    with pytest.raises(ConfigError, match=message):
        run(["alerts", flag])


@pytest.mark.parametrize(
    ("text", "message"),
    [("- a\n", "must be a mapping"), ("allerts: {}\n", "no such key: allerts"), ("a: [\n", "not valid YAML"),
     ("alerts: {RedisDown: {fore: 1m}}\n", "alerts.RedisDown"), ("disable: RedisDown\n", "must be a list"),
     ("alerts: {RedisDown: {for: soon}}\n", "must be a duration"),
     ("alerts:\n  RedisDown: {for: 1m}\n  RedisDown: {for: 2m}\n", ":3: alerts.RedisDown: is already set on line 2")],
)  # fmt: skip
def test_wrong_files(tmp_path: Path, text: str, message: str) -> None:
    """A file that can't be used is told by its fault."""
    file = tmp_path / "alerts.yml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        run(["alerts", f"--config={file}"])


def test_what_it_renders(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a word it says what it can, behind one its flags; for another word, that it can't."""
    assert 0 == run([])
    assert "alerts|dashboards" in capsys.readouterr().out
    assert 0 == run(["alerts", "--help"])
    assert "--slo" in capsys.readouterr().out
    assert 0 == run(["dashboards", "--help"])
    assert "--uid" in capsys.readouterr().out
    with pytest.raises(ConfigError, match="renders alerts and dashboards"):
        run(["dashboardz"])
