# SPDX-License-Identifier: Apache-2.0
"""Apply the recipes of CONTRIBUTING unchanged to a copy of the repository, and also without each of their steps."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.conftest import Programs
from tests.integration.exporters import LISTEN, Exporter
from tests.integration.processes import ROOT, Process, clean_environment, source_path
from tests.integration.redis_servers import RedisServer
from tests.support import yaml_text
from tests.support.project_files import project_files
from tests.support.waiting import eventually

pytestmark = [pytest.mark.servers, pytest.mark.timeout(300)]

TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
METRIC, ALERT, PANEL = "Add a Redis metric", "Add an alert", "Add a panel"
LEFT_OUT = [
    (
        METRIC,
        "celery_redis_exporter.catalog.reference",
        "run: python -m celery_redis_exporter.catalog.reference --write",
    ),
    (ALERT, "+++ alerts/runbooks.md", "test_runbook_has_all_parts[RedisForkSlow]"),
    (ALERT, "+++ alerts/tests/redis.yml", "test_cases_of_promtool[RedisForkSlow]"),
    (ALERT, "+++ grafana/generator/redis_inside.py", "redisforkslow"),
    (ALERT, "celery_redis_exporter.alerts.files", "run: python -m celery_redis_exporter.alerts.files --write"),
    (ALERT, "grafana.generator --write", "run: python -m grafana.generator --write"),
    (ALERT, "render alerts", "render alerts --format=prometheusrule"),
    (PANEL, "grafana.generator --write", "run: python -m grafana.generator --write"),
]
"""A recipe, the omitted step, and a text in the output of the tests."""


@dataclass(frozen=True)
class Change:
    """A change of a file: its first line, the lines to replace, and the new lines."""

    head: str
    old: str
    new: str

    def apply(self, tree: Path) -> None:
        """Replace the lines, which must occur exactly once."""
        path = tree / self.head.removeprefix("+++ ")
        text = path.read_text(encoding="utf-8")
        assert text.count(self.old) == 1, f"{self.head}: {self.old}"
        path.write_text(text.replace(self.old, self.new), encoding="utf-8")


@dataclass(frozen=True)
class Recipe:
    """The content of a section of CONTRIBUTING in its order: changes, then commands."""

    changes: list[Change]
    commands: list[str]

    @classmethod
    def read(cls, title: str) -> "Recipe":
        """Read the fenced blocks of a section."""
        section = TEXT.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
        blocks = re.findall(r"^```(diff|sh)\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
        assert blocks[-1][0] == "sh"
        changes, commands = [], []
        for kind, block in blocks:
            if kind == "sh":
                commands += block.splitlines()
                continue
            head, *lines = block.splitlines(keepends=True)
            old, new = ("".join(line[1:] for line in lines if line[0] in signs) for signs in (" -", " +"))
            changes.append(Change(head.strip(), old, new))
        return cls(changes, commands)

    def follow(self, tree: Path, forgotten: str = "") -> subprocess.CompletedProcess[str]:
        """Apply all steps except the forgotten one, up to the first command that fails. Return its result."""
        for change in self.changes:
            if change.head != forgotten:
                change.apply(tree)
        return run(tree, " && ".join(line for line in self.commands if not forgotten or forgotten not in line))

    def steps(self) -> list[str]:
        """Return the steps after the first, which adds the thing itself, without the final checks."""
        made = [command for command in self.commands if not command.startswith(("pytest", "promtool"))]
        return [change.head for change in self.changes[1:]] + made


def run(tree: Path, command: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a tree, with the programs of the tests."""
    environment = clean_environment() | {"PYTHONPATH": source_path(tree), "PYTEST_ADDOPTS": "-x -q -p no:cacheprovider"}
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment["PATH"]])
    return subprocess.run(
        ["bash", "-c", command], cwd=tree, env=environment, capture_output=True, text=True, check=False, timeout=100
    )


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the repository."""
    tree = tmp_path_factory.mktemp("repository") / "tree"
    for path in project_files():
        target = tree / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target, follow_symlinks=False)
    return tree


@pytest.fixture
def tree(copy: Path, tmp_path: Path) -> Iterator[Path]:
    """Yield a new copy for one test."""
    yield shutil.copytree(copy, tmp_path / "tree", symlinks=True)
    shutil.rmtree(tmp_path / "tree")


@pytest.mark.parametrize(("title", "step", "said"), LEFT_OUT, ids=[f"{row[0]}-{row[1]}" for row in LEFT_OUT])
def test_a_step_left_out_is_named(tree: Path, title: str, step: str, said: str) -> None:
    """If a step of a recipe is omitted, the tests that the recipe runs fail and state what to do."""
    done = Recipe.read(title).follow(tree, forgotten=step)
    assert done.returncode == 1
    assert said in done.stdout, done.stdout + done.stderr


def test_every_step_is_left_out_once() -> None:
    """The table above contains each step of each recipe except the first, and nothing else."""
    for title in (METRIC, ALERT, PANEL):
        left_out = [step for name, step, _ in LEFT_OUT if name == title]
        steps = Recipe.read(title).steps()
        assert len(left_out) == len(steps)
        assert [] == [(name, step) for name, step in zip(left_out, steps, strict=True) if name not in step]


def test_add_a_redis_metric(tree: Path, tmp_path: Path) -> None:
    """After the recipe an exporter shows the new metric with the value of a real Redis."""
    done = Recipe.read(METRIC).follow(tree)
    assert done.returncode == 0, done.stdout + done.stderr
    with ExitStack() as ending:
        server: RedisServer = Programs(tmp_path, ending).redis()
        server.command("BGSAVE")
        eventually(lambda: server.command("INFO", "persistence")["rdb_bgsave_in_progress"] == 0)
        # -P: import the package of the copy, not the one in the working directory.
        command = [
            sys.executable,
            "-P",
            "-m",
            "celery_redis_exporter",
            "--broker-url",
            server.url(),
            "--series.zero-first",
            "0",
        ]
        process = Process([*command, *LISTEN], tmp_path / "exporter.log", {"PYTHONPATH": source_path(tree)})
        ending.callback(process.end)
        process.wait_for('"app.started"')
        assert Exporter.of(process).value("redis_instantaneous_ops_per_sec", redis="broker") is not None


def test_add_an_alert(tree: Path) -> None:
    """After the recipe the alert is in both files of rules, and promtool's test of it passes."""
    done = Recipe.read(ALERT).follow(tree)
    assert done.returncode == 0, done.stdout + done.stderr
    rules = yaml_text.parse((tree / "alerts" / "redis.yml").read_text(encoding="utf-8"))
    operators = yaml_text.parse((tree / "deploy/kubernetes/rules/prometheusrule.yaml").read_text(encoding="utf-8"))
    for document in (rules, operators["spec"]):
        (rule,) = [
            rule for group in document["groups"] for rule in group["rules"] if rule.get("alert") == "RedisForkSlow"
        ]
        assert (
            'max by (cluster, namespace, job, application, redis) (redis_latest_fork_seconds{redis!=""}) > 1'
            == rule["expr"]
        )


def test_add_a_panel(tree: Path) -> None:
    """After the recipe the panel is on the dashboard."""
    done = Recipe.read(PANEL).follow(tree)
    assert done.returncode == 0, done.stdout + done.stderr
    board = json.loads((tree / "grafana" / "redis.json").read_text(encoding="utf-8"))
    panels = [panel for row in board["panels"] for panel in (row, *row.get("panels", ()))]
    (panel,) = [panel for panel in panels if panel["title"] == "Time of the last dump"]
    assert "redis_rdb_last_bgsave_duration_sec" in panel["targets"][0]["expr"]
