"""What the documents say exists: metrics, settings, files, rights."""

import re
from pathlib import Path

import pytest

from exporter.catalog import CATALOG, Kind
from exporter.cli import COMMANDS, analyze, check, render_alerts, top
from exporter.settings import describe
from tests.integration import acl

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / name for name in (
    "README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "exporter/README.md", "tests/README.md",
    "deploy/README.md", "deploy/configuration.md", "deploy/guide.md", "tests/fixtures/schemas/README.md",
    "exporter/cli/check/README.md",
)]  # fmt: skip
# Names of other programs and options, which the pages mention beside our own.
FOREIGN_FLAGS = {
    "--app",
    "--disable",
    "--fast",
    "--seconds",
    "--set",
    "--slo",
    "--slow",
    "--complete",
    "--write",
    "--version",
    "--help",
    "--strict",
    "--x",
    # deploy/README.md: docker, pip, kubectl, systemctl, helm, the Collector
    "--build",
    "--config",
    "--file",
    "--filename",
    "--format",
    "--from-file",
    "--kustomize",
    "--namespace",
    "--now",
    "--server-side",
    "--tag",
    # README.md, the first hour: apt-get, prometheus, prometheus-alertmanager, amtool
    "--alertmanager.url",
    "--cluster.listen-address",
    "--storage.path",
    "--storage.tsdb.path",
    "--yes",
}
OF_COMMANDS = set(re.findall(r"--[a-z][a-z-]+", analyze.HELP + check.HELP + top.HELP + render_alerts.HELP))
FOREIGN_NAMES = {"redis_exporter"}


def names_of_samples() -> set[str]:
    """Every sample name that /metrics can carry."""
    names = set(CATALOG)
    for metric in CATALOG.values():
        if metric.kind is Kind.HISTOGRAM:
            names |= {f"{metric.name}_{suffix}" for suffix in ("bucket", "count", "sum")}
    return names


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_names_exist(page: Path) -> None:
    """Every metric, flag, variable and file that a page names exists."""
    text = page.read_text(encoding="utf-8")
    metrics = set(re.findall(r"`((?:celery|redis)_[a-z0-9_]+[a-z0-9])(?=[`{])", text)) - FOREIGN_NAMES
    assert set() == {name for name in metrics if "." not in name} - names_of_samples()
    flags = {flag.replace("--no-", "--") for flag in re.findall(r"--[a-z][a-z.-]*[a-z]", text)}
    assert set() == flags - {row.flag for row in describe()} - OF_COMMANDS - FOREIGN_FLAGS
    variables = set(re.findall(r"\bEXPORTER_[A-Z_]+[A-Z]", text))
    known = {row.environment for row in describe()} | {f"{row.environment}_FILE" for row in describe() if row.secret}
    assert set() == variables - known
    for link in re.findall(r"\]\((?!https?:)([^)#]+)\)", text):
        assert (page.parent / link).exists(), link


def test_minimal_rights_in_readme_are_those_that_are_tested() -> None:
    """The ACL line in README is the one that the integration tests apply to a real server, right by right."""
    line = next(
        line for line in (ROOT / "README.md").read_text(encoding="utf-8").splitlines() if line.startswith("ACL SETUSER")
    )
    words = line.replace("ACL SETUSER celery-exporter on >PASSWORD ", "").split()
    assert sorted((*acl.START[2:], *acl.RIGHTS)) == sorted(words)


def test_commands_are_listed() -> None:
    """Every command can be found in README."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [] == [name for name in COMMANDS if name != "run" and name not in text]
