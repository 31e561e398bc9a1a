# SPDX-License-Identifier: Apache-2.0
"""``render dashboards``."""

import json
from pathlib import Path
from typing import Any

import pytest

from celery_redis_exporter.cli import render_dashboards
from celery_redis_exporter.cli.render import run
from celery_redis_exporter.errors import ConfigError
from tests.support import yaml_text
from tests.support.dashboards import boards

KUBECTL_TAKES = 262_144
"""Limit in bytes of an annotation, in which ``kubectl apply`` stores the applied object."""


def render(capsys: pytest.CaptureFixture[str], *flags: str) -> str:
    """Render, and return the output."""
    assert 0 == run(["dashboards", *flags])
    return capsys.readouterr().out


def configmaps(capsys: pytest.CaptureFixture[str], *flags: str) -> list[dict[str, Any]]:
    """Render, and parse the objects."""
    return yaml_text.parse_all(render(capsys, *flags))


def test_configmaps(capsys: pytest.CaptureFixture[str]) -> None:
    """Each dashboard is a separate ConfigMap that Grafana's sidecar finds and kubectl can apply."""
    found = configmaps(capsys)
    assert [f"celery-redis-exporter-{uid}" for uid in boards()] == [row["metadata"]["name"] for row in found]
    for row, (uid, tree) in zip(found, boards().items(), strict=True):
        assert ("v1", "ConfigMap", {"grafana_dashboard": "1"}) == (
            row["apiVersion"], row["kind"], row["metadata"]["labels"]
        )  # fmt: skip
        assert tree == json.loads(row["data"][f"{uid}.json"])
        assert len(json.dumps(row)) < KUBECTL_TAKES


def test_flags(capsys: pytest.CaptureFixture[str]) -> None:
    """Names, namespace, labels, folder and runbooks follow the flags."""
    (row,) = configmaps(
        capsys, "--uid=redis", "--name=shop", "--namespace=monitoring", "--label=dashboards=yes", "--label=a/b=",
        "--folder=Celery and Redis", "--runbook-url=https://wiki/x.md",
    )  # fmt: skip
    assert {
        "name": "shop-redis",
        "namespace": "monitoring",
        "labels": {"dashboards": "yes", "a/b": ""},
        "annotations": {"grafana_folder": "Celery and Redis"},
    } == row["metadata"]
    text = row["data"]["redis.json"]
    assert "(https://wiki/x.md#redisdown)" in text
    assert "(alerts/runbooks.md#" not in text


def test_one_dashboard_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    """One dashboard, by its file's name or its uid, can be printed as Grafana imports it."""
    for uid in ("exporter", "celery-redis-exporter-exporter"):
        assert boards()["exporter"] == json.loads(render(capsys, "--format=json", f"--uid={uid}"))


def test_files(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """All dashboards can be written into a folder, as JSON or as ConfigMaps, and nothing is printed."""
    assert "" == render(capsys, "--format=json", f"--output={tmp_path / 'new' / 'json'}")
    assert list(boards()) == sorted(path.stem for path in (tmp_path / "new" / "json").glob("*.json"))
    assert "" == render(capsys, f"--output={tmp_path}", "--uid=redis")
    assert "ConfigMap" == yaml_text.parse((tmp_path / "redis.yaml").read_text(encoding="utf-8"))["kind"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--uid=celery-overwiev"], "did you mean celery-overview"),
        (["--uid=nothing"], "there are celery-overview, "),
        (["--format=json"], "one dashboard at a time"),
        (["--format=yaml"], "invalid choice"),
        (["--name=Shop"], "Shop-celery-overview must be at most 63 lower case"),
        (["--name=" + "a" * 50], "must be at most 63"),
        (["--namespace=a_b"], "--namespace a_b"),
        (["--label=x"], "NAME=VALUE"),
        (["--label=x y=z"], "NAME=VALUE"),
        (["--runbook-url=https://wiki/a b"], "must be an address"),
        (['--runbook-url=https://wiki/"x'], "must be an address"),
        (["--folder=Celery\nx"], "can't be printed"),
        (["--folder="], "must be a title"),
        (["--output=/proc/nothing"], "can't be written"),
        (["more"], "unexpected argument; see render dashboards --help"),
    ],
)
def test_wrong_flags(flags: list[str], message: str) -> None:
    """A word that can't be rendered is reported in one line, with the nearest name that exists."""
    with pytest.raises(ConfigError, match=message):
        run(["dashboards", *flags])


def test_an_installation_without_dashboards_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A package without its dashboards is reported with the path where they were expected."""
    monkeypatch.setattr(render_dashboards, "CHECKOUT", tmp_path)
    with pytest.raises(ConfigError, match="this installation has none"):
        run(["dashboards"])
